import math

import pytest
import torch
from torch import nn

from unblot.layers.blocks import (
    Decoder,
    Discriminator,
    Encoder,
    PairDiscriminator,
    Res,
    ThinConv,
    Up,
    adam,
    bce,
    frozen,
    parameter_count,
    pyramid,
    through,
)


@pytest.mark.parametrize(("a", "b", "stride"), [(4, 4, 1), (4, 6, 1), (4, 4, 2), (4, 6, 2)])
def test_residual_block_has_a_plain_shortcut_only_where_shapes_agree(a: int, b: int, stride: int) -> None:
    block = Res(a, b, stride)
    assert block(torch.rand(2, a, 8, 8)).shape == (2, b, 8 // stride, 8 // stride)
    assert isinstance(block.shortcut, nn.Identity) == (a == b and stride == 1)


def test_up_doubles_the_resolution() -> None:
    assert Up(6, 3)(torch.rand(2, 6, 5, 5)).shape == (2, 3, 10, 10)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("size", "channels_f", "side_f"), [(16, 8, 4), (32, 16, 4), (48, 32, 3), (64, 32, 4), (80, 32, 5)]
)
def test_discriminator_takes_every_multiple_of_16(channels: int, size: int, channels_f: int, side_f: int) -> None:
    network = Discriminator(channels, size, width=4)
    logits, feature = network(torch.rand(2, channels, size, size))
    assert logits.shape == (2,)
    assert feature.shape == (2, channels_f, side_f, side_f)
    # f is what the last convolution sees, so the logits follow from it alone.
    assert torch.equal(network.classifier(feature).flatten(), logits)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [16, 32, 48, 64, 80])
def test_encoder_and_decoder_mirror_each_other(channels: int, size: int) -> None:
    encoder, decoder = Encoder(channels, size, latent=5, width=4), Decoder(channels, size, latent=5, width=4)
    latent = encoder(torch.rand(2, channels, size, size))
    images = decoder(latent)
    assert latent.shape == (2, 5)
    assert images.shape == (2, channels, size, size) and images.abs().max() <= 1
    halvings = [m.weight.shape for m in encoder.modules() if isinstance(m, nn.Conv2d)]
    doublings = [m.weight.shape for m in decoder.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert halvings == doublings[::-1]
    assert encoder.latent.weight.shape == decoder.first.weight.T.shape


def test_channels_double_up_to_eight_times() -> None:
    assert pyramid(256, 2) == ([2, 4, 8, 16, 16, 16], 4)


def test_pair_discriminator_weighs_image_and_vector() -> None:
    network = PairDiscriminator(3, 16, latent=5, width=4).eval()
    images, latent = torch.rand(2, 3, 16, 16), torch.rand(2, 5)
    logits, feature = network(images, latent)
    assert logits.shape == (2,) and feature.shape == (2, 64)
    assert torch.allclose(network.classifier(feature).flatten(), logits)
    assert not torch.equal(logits, network(images.flip(0), latent)[0])
    assert not torch.equal(logits, network(images, latent.flip(0))[0])


def test_pair_discriminator_drops_in_train_mode_alone() -> None:
    network = PairDiscriminator(1, 16, latent=5, width=4, dropout=0.5)
    given = torch.rand(2, 1, 16, 16), torch.rand(2, 5)
    assert not torch.equal(network(*given)[1], network(*given)[1])
    assert torch.equal(network.eval()(*given)[1], network(*given)[1])


def test_bce_by_hand() -> None:
    logits = torch.tensor([0.0, 2.0])
    right, wrong = math.log1p(math.exp(-2.0)), math.log1p(math.exp(2.0))
    assert bce(logits, 1.0).item() == pytest.approx((math.log(2) + right) / 2)
    assert bce(logits, 0.0).item() == pytest.approx((math.log(2) + wrong) / 2)


def test_through_has_values_and_gradient_of_the_losses_and_spares_the_network() -> None:
    torch.manual_seed(0)
    network, source = Discriminator(1, 16, width=4), torch.rand(2, 1, 16, 16, requires_grad=True)
    made = 2 * source
    logits, feature = network(made)
    losses = {"adversarial": bce(logits, 1.0), "latent": feature.square().mean()}
    (expected,) = torch.autograd.grad(losses["adversarial"] + losses["latent"], source, retain_graph=True)

    given = made.detach().requires_grad_()
    logits, feature = network(given)
    passed = through({"adversarial": bce(logits, 1.0), "latent": feature.square().mean()}, given, made)
    assert all(passed[name].item() == pytest.approx(losses[name].item()) for name in losses)
    torch.autograd.backward(passed["adversarial"] + passed["latent"])
    assert source.grad is not None
    assert torch.allclose(source.grad, expected)
    assert all(p.grad is None for p in network.parameters())
    torch.autograd.backward(bce(logits, 0.0))  # the graph of the pass is still there for the network's own step
    assert all(p.grad is not None for p in network.parameters())


def test_thin_convolution_computes_what_torchs_does() -> None:
    thin, plain, x = ThinConv(3, 8), nn.Conv2d(3, 8, 4, 2, padding=1), torch.rand(2, 3, 6, 10)
    plain.load_state_dict(thin.state_dict())
    assert torch.allclose(thin(x), plain(x), atol=1e-5)


def test_adam_takes_the_same_steps_as_torchs_plain_one() -> None:
    a, b = nn.Linear(3, 2), nn.Linear(3, 2)
    b.load_state_dict(a.state_dict())
    fused, plain = adam(a, 1e-2), torch.optim.Adam(b.parameters(), 1e-2, betas=(0.5, 0.999), fused=False, foreach=False)
    for step in range(5):
        for network, optimizer in ((a, fused), (b, plain)):
            optimizer.zero_grad()
            network(torch.full((1, 3), float(step))).square().sum().backward()
            optimizer.step()
    assert torch.allclose(a.weight, b.weight)


def test_frozen_network_passes_gradients_through_and_keeps_none() -> None:
    network = Discriminator(1, 16, width=4)
    network.classifier.bias.requires_grad_(False)  # type: ignore[union-attr]
    image = torch.rand(2, 1, 16, 16, requires_grad=True)
    with frozen(network):
        logits, _ = network(image)
    logits.sum().backward()
    assert image.grad is not None and image.grad.abs().sum() > 0
    assert all(p.grad is None for p in network.parameters())
    assert [name for name, p in network.named_parameters() if not p.requires_grad] == ["classifier.bias"]


def test_frozen_network_thaws_after_an_error() -> None:
    network = nn.Linear(2, 2)
    with pytest.raises(RuntimeError, match="stop"), frozen(network):
        raise RuntimeError("stop")
    assert all(p.requires_grad for p in network.parameters())


def test_parameter_count() -> None:
    assert parameter_count(nn.Linear(3, 2)) == 3 * 2 + 2

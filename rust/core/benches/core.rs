//! The core alone: time for each noise value, random word, drawn box and copied byte. `cargo bench -p unblot-core`.
//!
//! The noise kinds are measured through `corrupt` on one box of 1024 × 1024, for each level that the processor has.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use half::{bf16, f16};
use ndarray::Array4;
use std::hint::black_box;
use unblot_core::{Base, Corruption, Images, Index, Level, Noise, Plan, PoissonMode, Rendered, Shape, Spec, rng};

const SIDE: usize = 1024;

fn noise(kind: &str) -> Noise {
    match kind {
        "gaussian" => Noise::Gaussian { sigma: (0.2, 0.2), mean: (0.0, 0.0) },
        "salt_pepper" => Noise::SaltPepper { amount: (0.5, 0.5), salt: (0.5, 0.5), per_channel: false },
        "poisson" => Noise::Poisson { peak: (30.0, 30.0), strength: (0.2, 0.2), mode: PoissonMode::Shot },
        _ => Noise::Laplace { scale: (0.15, 0.15), mean: (0.0, 0.0) },
    }
}

const KINDS: [&str; 4] = ["gaussian", "salt_pepper", "poisson", "laplace"];

/// One box over the whole image.
fn whole(kind: &str, base: Base) -> Plan {
    let spec = Spec { full: true, base, noise: vec![noise(kind)], weights: vec![1.0], ..Spec::default() };
    Plan::new(spec).expect("a valid specification")
}

fn time_kind<T: Rendered>(
    c: &mut Criterion,
    group: &str,
    id: BenchmarkId,
    plan: &Plan,
    range: (f32, f32),
    level: Level,
) {
    let mut image = Array4::from_elem((1, 1, SIDE, SIDE), T::encode(range.1));
    let mut seed = 0;
    let mut group = c.benchmark_group(group);
    group.throughput(Throughput::Elements((SIDE * SIDE) as u64));
    group.bench_function(id, |b| {
        b.iter(|| {
            seed += 1;
            let corruption = Corruption::new(plan, Index { seed, keys: &[1] }).range(range).threads(1).level(level);
            corruption.run::<T>(Images::in_place(image.view_mut())).expect("a valid image")
        });
    });
}

/// Nanoseconds for a value: one over the elements per nanosecond that are printed.
fn values(c: &mut Criterion) {
    for kind in KINDS {
        let (flat, own) = (whole(kind, Base::Gray), whole(kind, Base::Image));
        for (name, level) in Level::all() {
            time_kind::<f32>(c, "value, float32", BenchmarkId::new(kind, name), &flat, (0.0, 1.0), level);
        }
        let best = Level::best();
        time_kind::<f32>(c, "value, float32 on own pixels", BenchmarkId::new(kind, "best"), &own, (0.0, 1.0), best);
        time_kind::<u8>(c, "value, uint8", BenchmarkId::new(kind, "best"), &flat, (0.0, 255.0), best);
        time_kind::<f16>(c, "value, float16", BenchmarkId::new(kind, "best"), &flat, (0.0, 1.0), best);
        time_kind::<bf16>(c, "value, bfloat16", BenchmarkId::new(kind, "best"), &flat, (0.0, 1.0), best);
    }
}

/// The same for what is blended, for each value of the box: a pasted rectangle, and Gaussian noise in each shape.
fn blended(c: &mut Criterion) {
    let paste =
        Noise::Paste { gain: (0.8, 1.2), offset: (-0.1, 0.1), opacity: (0.5, 0.5), flip: true, from_batch: false };
    let rows = [
        ("paste", paste.clone(), Shape::Rectangle),
        ("paste, blob", paste, Shape::Blob),
        ("gaussian, scar", noise("gaussian"), Shape::Scar),
        ("gaussian, blob", noise("gaussian"), Shape::Blob),
    ];
    for (name, noise, shape) in rows {
        // One box that takes nearly the whole image.
        let scale = 0.98 * shape.share();
        let spec = Spec {
            scale: (scale, scale),
            num_boxes: (1, 1),
            ratio: (1.0, 1.0),
            noise: vec![noise],
            weights: vec![1.0],
            shapes: vec![shape],
            ..Spec::default()
        };
        let plan = Plan::new(spec).expect("a valid specification");
        for (level_name, level) in Level::all() {
            let id = BenchmarkId::new(name, level_name);
            time_kind::<f32>(c, "value of a blended box, float32", id, &plan, (0.0, 1.0), level);
        }
        let id = BenchmarkId::new(name, "best");
        time_kind::<u8>(c, "value of a blended box, uint8", id, &plan, (0.0, 255.0), Level::best());
    }
}

/// Words of the generator, one block after the other without lanes.
fn words(c: &mut Criterion) {
    const BLOCKS: u32 = 1024;
    let mut group = c.benchmark_group("philox word");
    group.throughput(Throughput::Elements(4 * u64::from(BLOCKS)));
    // What the core takes, and what the authors recommend where time is no matter.
    for rounds in [rng::ROUNDS, 10] {
        group.bench_with_input(BenchmarkId::new("scalar", rounds), &rounds, |b, rounds| {
            b.iter(|| (0..BLOCKS).fold(0, |sum, i| sum ^ rng::block(black_box([i, 0, 0, 0]), [1, 2], *rounds)[3]));
        });
    }
}

/// Bytes a second of a batch, beside a copy of it.
fn batches(c: &mut Criterion) {
    let plan = Plan::new(Spec { scale: (0.15, 0.15), ..Spec::default() }).expect("a valid specification");
    for (images, side) in [(128, 32), (64, 224)] {
        let source = Array4::<f32>::from_elem((images, 3, side, side), 0.5);
        let mut target = source.clone();
        let keys: Vec<u64> = (0..images as u64).collect();
        let mut group = c.benchmark_group(format!("batch of {images} x 3 x {side} x {side}, float32"));
        group.throughput(Throughput::Bytes(4 * source.len() as u64));
        group.bench_function("copy_from_slice", |b| {
            let (from, to) = (source.as_slice().expect("contiguous"), target.as_slice_mut().expect("contiguous"));
            b.iter(|| to.copy_from_slice(black_box(from)));
        });
        for (name, from) in [("in place", None), ("out", Some(source.view()))] {
            let mut seed = 0;
            group.bench_function(name, |b| {
                b.iter(|| {
                    seed += 1;
                    let index = Index { seed, keys: &keys };
                    let images = match &from {
                        Some(from) => Images::copied(from, target.view_mut()),
                        None => Images::in_place(target.view_mut()),
                    };
                    Corruption::new(&plan, index).threads(1).run::<f32>(images).expect("a valid batch")
                });
            });
        }
    }
}

/// Boxes a second.
fn boxes(c: &mut Criterion) {
    let mut group = c.benchmark_group("drawn box");
    let (small, wide, square) = ((224, 224), (8, 2048), (256, 256));
    let full = |num_boxes| Spec { scale: (0.9, 0.9), ratio: (1.0, 1.0), num_boxes, ..Spec::default() };
    // Time for a box may grow no more than a little from one line to the next, each with twice as many boxes in an image.
    let rows = [
        ("one to four", Spec::default(), small, 1024),
        ("sixteen", Spec { num_boxes: (16, 16), ..Spec::default() }, small, 1024),
        ("nine tenths of 8 x 512", full((1, 4)), (8, 512), 4),
        ("nine tenths of 8 x 1024", full((1, 4)), (8, 1024), 4),
        ("nine tenths of 8 x 2048", full((1, 4)), wide, 4),
        ("nine tenths of 256 x 256 in 256", full((256, 256)), square, 4),
        ("nine tenths of 256 x 256 in 512", full((512, 512)), square, 4),
        ("nine tenths of 256 x 256 in 1024", full((1024, 1024)), square, 4),
    ];
    for (name, spec, size, images) in rows {
        let keys: Vec<u64> = (0..images).collect();
        let plan = Plan::new(spec).expect("a valid specification");
        let drawn = |seed| Corruption::new(&plan, Index { seed, keys: &keys }).draw(size, 3).expect("a valid image");
        // As many as one seed draws; other seeds draw about as many.
        group.throughput(Throughput::Elements(drawn(0).len() as u64));
        let mut seed = 0;
        group.bench_function(name, |b| {
            b.iter(|| {
                seed += 1;
                drawn(seed)
            });
        });
    }
}

criterion_group!(core, values, blended, words, batches, boxes);
criterion_main!(core);

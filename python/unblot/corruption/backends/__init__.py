"""The same corruption in torch and in Triton, for images that are on a device already."""

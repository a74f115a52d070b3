"""Pillow: pictures that workers blur."""

import sys

import procession as multiprocessing
from PIL import Image, ImageFilter


def blurred(image):
    return image.filter(ImageFilter.GaussianBlur(2))


if __name__ == "__main__":
    images = [Image.new("RGB", (32, 32), (shade, 0, 255)) for shade in range(0, 250, 50)]
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        assert [image.tobytes() for image in pool.imap(blurred, images)] == [blurred(i).tobytes() for i in images]

"""Images that break decoders, made here: of every kind that is sent by mistake or on purpose, and
mutations of good ones."""

import io
import random
import struct
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image
from skimage import data

END = {"JPEG": b"\xff\xd9", "PNG": b"\0\0\0\0IEND\xaeB`\x82", "WEBP": b""}
RAW = (
    b"II*\0\x10\0\0\0CR\x02\0", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"IIRO\x08\0",
    b"IIU\0\x08\0", b"FUJIFILMCCD-RAW 0201", b"FOVb\0\0", b"\0\0\0\x18ftypcrx \0\0\0\x01",
)  # fmt: skip
FOREIGN = (
    b"%PDF-1.7\n", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%!PS-Adobe-3.0 EPSF-3.0\n",
    b"v/1\x01\x02\0\0\0", b"#?RADIANCE\n", b"\0\0\0\x18ftypheic\0\0\0\0",
    b"\0\0\0\x1cftypavif\0\0\0\0", b"GIF89a\x40\0\x30\0", b"BM\x46\0\0\0",
    b"\0\0\0\x0cjP  \r\n\x87\n", b"PK\x03\x04", b"P6\n1 1\n255\n", b"RIFF\x24\0\0\0WAVEfmt ",
    b"\xff\x0a\xfa\x0f", b"Not Found", b"\0", bytes(1000),
)  # fmt: skip


def portrait(side: int = 192) -> Image.Image:
    """A woman's face, in the public domain."""
    return Image.fromarray(data.astronaut()[0:256, 96:352]).resize((side, side))


def encode(image: Image.Image, image_format: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, image_format, **options)
    return out.getvalue()


def originals() -> list[bytes]:
    """Good images of every form that is read."""
    image = portrait()
    alpha = image.convert("RGBA")
    alpha.putalpha(Image.linear_gradient("L").resize(image.size))
    found = [
        encode(image, "JPEG", progressive=True),
        encode(image, "JPEG", subsampling=0, restart_marker_blocks=4),
        encode(image.convert("CMYK"), "JPEG"),
        encode(image.convert("L"), "JPEG"),
        encode(image.quantize(64), "PNG"),
        encode(alpha, "PNG"),
        encode(alpha, "WEBP", exact=True),
        encode(image, "WEBP", lossless=True),
        png_of(np.asarray(image), bits=16),
    ]
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        found += [encode(image, kind, exif=exif) for kind in ("JPEG", "PNG", "WEBP")]
    return found


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, packed: bytes, *others: bytes, bits: int = 8) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0)
    chunks = (chunk(b"IHDR", head), *others, chunk(b"IDAT", packed), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def png_of(rgb: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], *, bits: int = 8) -> bytes:
    wide = rgb.astype(">u2") * 257 if bits == 16 else rgb
    rows = zlib.compress(b"".join(b"\0" + row.tobytes() for row in wide))
    return png(rgb.shape[1], rgb.shape[0], rows, bits=bits)


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def claiming(width: int, height: int) -> Iterator[bytes]:
    """Small files of every format that say they are of that size."""
    frame = struct.pack(">BHHB", 8, height, width, 3) + b"\x01\x11\0\x02\x11\0\x03\x11\0"
    scan = segment(0xDA, b"\x03\x01\x00\x02\x11\x03\x11\x00\x3f\x00") + b"\x12"
    jpeg = b"\xff\xd8" + segment(0xC0, frame) + segment(0xFE, b"x" * 200) + scan
    yield jpeg[: 258 - 2] + b"\xff\xd9"
    yield png(width, height, zlib.compress(bytes(1 << 16)))
    vp8 = b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", width & 0x3FFF, height & 0x3FFF)
    body = b"WEBPVP8 " + struct.pack("<I", len(vp8)) + vp8
    yield b"RIFF" + struct.pack("<I", len(body)) + body


def scans(count: int) -> bytes:
    """A progressive JPEG of so many scans."""
    content = encode(portrait(64), "JPEG", progressive=True)
    first = content.index(b"\xff\xda")
    return content[:first] + content[first:-2] * (count // 10 + 1) + b"\xff\xd9"


def bombs() -> Iterator[bytes]:
    """Small files that would have a decoder, or a reader of metadata, work long."""
    rows = zlib.compress(bytes((1 + 3 * 64) * 64))
    packer = zlib.compressobj()
    endless = b"".join(packer.compress(bytes(1 << 20)) for _ in range(1 << 9)) + packer.flush()
    yield png(64, 64, endless)
    yield png(64, 64, rows, chunk(b"zTXt", b"comment\0\0" + endless))
    yield png(64, 64, rows, chunk(b"iTXt", b"comment\0\x01\0\0\0" + endless))
    yield png(64, 64, rows, chunk(b"iCCP", b"icc\0\0" + endless))
    yield png(64, 64, rows, *[chunk(b"tEXt", b"a\0b")] * 50_001)
    yield scans(1000)
    yield scans(90)
    webp = b"WEBP" + b"JUNK\0\0\0\0" * 10_001
    yield b"RIFF" + struct.pack("<I", len(webp)) + webp
    jpeg = encode(portrait(64), "JPEG")
    loop = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x69\x87\x04\0\x01\0\0\0\x08\0\0\0" * 5000
    yield jpeg[:2] + segment(0xE1, loop) + jpeg[2:]
    yield jpeg[:2] + segment(0xE2, b"ICC_PROFILE\0\x01\xff" + bytes(60_000)) * 200 + jpeg[2:]
    yield jpeg[:2] + segment(0xFE, b"") * 10_001 + jpeg[2:]
    yield jpeg[:2] + b"\xff" * (1 << 20) + jpeg[2:]


def specials() -> list[bytes]:
    """One of each kind."""
    image, small = portrait(), portrait(1)
    frames = [image, image.rotate(90)]
    jpeg = encode(image, "JPEG")
    found = [b"", *RAW, *FOREIGN, *(head + jpeg for head in (*RAW, *FOREIGN[:-2]))]
    for kind in ("GIF", "BMP", "TIFF", "EPS", "PDF", "ICO", "JPEG2000", "PPM"):
        found.append(encode(image, kind))
    for kind in ("GIF", "PNG", "WEBP"):
        found.append(encode(frames[0], kind, save_all=True, append_images=frames[1:]))
    found += [encode(small, kind) for kind in END]
    for size in ((65535, 65535), (10_001, 10_000), (30_001, 20), (0, 40), (5000, 5000)):
        found += claiming(*size)
    for end in (b"PK\x03\x04" + bytes(99), b"%PDF-1.7", b"<script>", jpeg, encode(image, "PNG")):
        found += [encode(image, kind) + end for kind in END]
    return [*found, *bombs()]


def truncated(content: bytes, percent: int) -> bytes:
    """Cut after so many hundredths; at odd ones as if it had never been longer."""
    kind = "JPEG" if content[0] == 0xFF else "PNG" if content[0] == 0x89 else "WEBP"
    cut = content[: len(content) * percent // 100]
    if kind == "WEBP" and percent % 2 and len(cut) > 20:
        cut = cut[:4] + struct.pack("<I", len(cut) - 8) + cut[8:]
    return cut + END[kind] * (percent % 2)


def mutant(good: Sequence[bytes], choice: random.Random) -> bytes:
    """One good image with some of its bits, bytes or parts changed."""
    content = bytearray(choice.choice(good))
    match choice.randrange(5):
        case 0:
            for _ in range(choice.choice((1, 1, 2, 8))):
                # Headers are worth more hits than their share of the bytes.
                last = choice.choice((64, 700, len(content)))
                content[choice.randrange(min(last, len(content)))] ^= 1 << choice.randrange(8)
        case 1:
            at, length = choice.randrange(len(content)), choice.choice((0, 1, 4, 400))
            content[at : at + length] = choice.randbytes(choice.choice((0, 1, 4, 400)))
        case 2:
            other = choice.choice(good)
            content[choice.randrange(len(content)) :] = other[choice.randrange(len(other)) :]
        case 3:
            start, stop, at = sorted(choice.randrange(len(content)) for _ in range(3))
            content[at:at] = content[start:stop]
        case _:
            content = _resized(content, choice)
    return bytes(content)


def _resized(content: bytearray, choice: random.Random) -> bytearray:
    """The same with other sides in its header, its checksum right."""
    sides = [choice.choice((0, 1, 15, 191, 193, 200, 4000, 65535)) for _ in range(2)]
    if content[0] == 0x89:
        content[16:24] = struct.pack(">II", *sides)
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    elif content[0] == 0xFF:
        frame = max(content.find(b"\xff\xc0"), content.find(b"\xff\xc2"))
        content[frame + 5 : frame + 9] = struct.pack(">HH", *sides)
    else:
        frame = content.find(b"\x9d\x01\x2a")
        content[frame + 3 : frame + 7] = struct.pack("<HH", *(side & 0x3FFF for side in sides))
    return content


def malformed(good: Sequence[bytes], count: int, seed: int) -> Iterator[bytes]:
    """So many inputs: one of each kind, good ones cut everywhere as far as there is room for, and
    mutations. The same for the same seed."""
    choice = random.Random(seed)
    given = specials() + list(good)
    yield from given[:count]
    room = max(0, count - len(given))
    cuts = [(content, percent) for content in good for percent in range(100)]
    some = choice.sample(cuts, min(len(cuts), room // 2))
    yield from (truncated(*cut) for cut in some)
    for _ in range(room - len(some)):
        yield mutant(good, choice)

#!/usr/bin/env python3
"""The simulator's pictures are whole, fetch nothing and run nothing; its captures are read by somebody else's rules.

Python 3.11, no packages. Reads pcapng (draft-ietf-opsawg-pcapng), IP and UDP by itself; where `tshark` is installed, that has to
agree. Pictures in sim/pictures that are not as they would be made now are named and are no failure: they are there to be looked at,
and any change of a timing in the node changes them.
"""

import html.parser
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml
from pathlib import Path

import probe
from moot import ROOT, TARGET, Failed, check

SIM = Path(os.environ.get("MOOT_SIM", TARGET / "release/moot-sim"))
SVG = "{http://www.w3.org/2000/svg}"
DRAWN = {"svg", "title", "style", "rect", "text", "line", "polyline", "polygon", "circle", "path"}
FETCHES = re.compile(r"url\(|@import|https?:|data:|//|javascript:", re.IGNORECASE)


def sim(*args, code=0):
    done = subprocess.run([SIM, *map(str, args)], capture_output=True, text=True, timeout=300)
    check(done.returncode == code, f"moot-sim {args}: exit code {done.returncode}, not {code}: {done.stderr}")
    check("panicked" not in done.stderr, f"moot-sim {args}: {done.stderr}")
    return done


def check_picture(text, name):
    """XML, of drawn elements alone, with nothing outside its edges at the left and the top, and nothing to fetch."""
    root = xml.fromstring(text)
    check(root.tag == SVG + "svg", f"{name}: {root.tag}")
    width, height = float(root.get("width")), float(root.get("height"))
    for element in root.iter():
        tag = element.tag.removeprefix(SVG)
        check(tag in DRAWN, f"{name}: <{tag}>")
        for key, value in element.attrib.items():
            check(not key.startswith("on") and "href" not in key, f"{name}: <{tag} {key}>")
            check(not FETCHES.search(value) and "nan" not in value.lower(), f"{name}: {key}={value!r}")
        if tag == "style":
            check(not FETCHES.search(element.text), f"{name}: style")
        if tag in ("rect", "text") and "x" in element.attrib:
            x, y = float(element.get("x")), float(element.get("y"))
            check(0 <= x <= width and 0 <= y <= height, f"{name}: <{tag}> at {x}, {y} of {width} × {height}")
    check(root.find(SVG + "title").text, f"{name}: no title")
    texts = [element.text for element in root.iter(SVG + "text") if element.text]
    check(texts, f"{name}: no words")
    return texts


class Page(html.parser.HTMLParser):
    """Elements that an HTML page opens and closes."""

    def __init__(self):
        super().__init__()
        self.open, self.tags = [], set()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        if tag not in ("meta",):
            self.open.append(tag)
        for key, value in attributes:
            check(key not in ("src", "srcset", "data", "action") and not key.startswith("on"), f"page: <{tag} {key}>")
            check(key != "href" or value.startswith("#"), f"page: a link to {value}")

    def handle_startendtag(self, tag, attributes):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        check(self.open and self.open.pop() == tag, f"page: </{tag}> closes something else")


def check_page(path, pictures):
    """A page that is whole in itself, with so many pictures in it."""
    text = path.read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    check(not page.open, f"{path}: open at the end: {page.open}")
    foreign = page.tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    check(not foreign, f"{path}: {foreign}")
    drawn = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    check(len(drawn) == pictures, f"{path}: {len(drawn)} pictures, not {pictures}")
    for n, picture in enumerate(drawn):
        check_picture(picture, f"{path}, picture {n}")


def blocks(data):
    at = 0
    while at < len(data):
        kind, length = struct.unpack_from("<II", data, at)
        check(length >= 12 and length % 4 == 0, f"a block of {length} bytes at {at}")
        check(struct.unpack_from("<I", data, at + length - 4)[0] == length, f"the block at {at} ends otherwise")
        yield kind, data[at + 8:at + length - 4]
        at += length


def options(data):
    while len(data) >= 4:
        code, length = struct.unpack_from("<HH", data)
        if code == 0:
            return
        yield code, data[4:4 + length]
        data = data[4 + (length + 3) // 4 * 4:]


def internet_sum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def payload(packet):
    """What a UDP datagram carries, with both checksums right."""
    if packet[0] >> 4 == 4:
        check(internet_sum(packet[:20]) == 0xFFFF, "the checksum of an IPv4 header")
        check(struct.unpack_from(">H", packet, 2)[0] == len(packet) and packet[9] == 17, "an IPv4 header")
        addresses, udp = packet[12:20], packet[20:]
    else:
        check(packet[0] >> 4 == 6 and packet[6] == 17, "an IPv6 header")
        check(struct.unpack_from(">H", packet, 4)[0] == len(packet) - 40, "the length of an IPv6 packet")
        addresses, udp = packet[8:40], packet[40:]
    check(struct.unpack_from(">H", udp, 4)[0] == len(udp), "the length of a UDP datagram")
    check(internet_sum(addresses + struct.pack(">II", len(udp), 17) + udp) == 0xFFFF, "the checksum of a UDP datagram")
    return udp[8:]


def kind(data):
    """RFC 9443, section 3; KRPC is a bencoded dictionary."""
    if data[0] <= 3 and data[4:8] == b"\x21\x12\xa4\x42":
        return "STUN"
    if 20 <= data[0] <= 63:
        return "DTLS"
    return "KRPC" if isinstance(probe.bdecode(data), dict) else "other"


def check_capture(path):
    interfaces, kinds, comments, last = 0, {}, [], 0
    for number, (block, body) in enumerate(blocks(path.read_bytes())):
        if number == 0:
            check(block == 0x0A0D0D0A and body[:4] == b"\x4d\x3c\x2b\x1a", "no section header")
        elif block == 1:
            check(struct.unpack_from("<H", body)[0] == 101, "not LINKTYPE_RAW")
            interfaces += 1
        elif block == 6:
            interface, high, low, captured, whole = struct.unpack_from("<5I", body)
            check(interface < interfaces and captured == whole, "an interface, or a length")
            check((high << 32 | low) >= last, "time goes back")
            last = high << 32 | low
            what = kind(payload(body[20:20 + captured]))
            kinds[what] = kinds.get(what, 0) + 1
            comments += [text.decode() for code, text in options(body[20 + (captured + 3) // 4 * 4:]) if code == 1]
        else:
            check(False, f"block {block}")
    check(interfaces == 4 and all(kinds.get(what, 0) > 20 for what in ("STUN", "DTLS", "KRPC")), f"{interfaces}, {kinds}")
    drops = [comment for comment in comments if comment.startswith("dropped at ")]
    check(drops and all(": " in comment for comment in drops), f"drops with reasons: {comments}")
    check_with_tshark(path, sum(kinds.values()))
    return f"{sum(kinds.values())} packets, {kinds}, {len(drops)} of them dropped"


def check_with_tshark(path, count):
    if not shutil.which("tshark"):
        print("tshark is not installed: only our own reader was asked")
        return
    # As root it warns of itself, on stderr.
    read = ["tshark", "-n", "-r", path, "-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
    fields = ["-T", "fields", "-e", "frame.number", "-e", "udp.checksum.status", "-e", "_ws.malformed"]
    lines = subprocess.run([*read, *fields], capture_output=True, text=True, timeout=60, check=True).stdout.splitlines()
    check(len(lines) == count, f"tshark reads {len(lines)} packets, not {count}")
    wrong = [line for line in lines if line.split("\t")[1:] != ["1", ""]]
    check(not wrong, f"tshark finds wrong checksums or malformed packets: {wrong[:3]}")


def run_is_drawn(scratch):
    """a run is drawn, and captured as others read it"""
    sim("run", "nat-four", "--seed", 1, "--report", scratch / "run", "--pair", "1,2", "--pcap", scratch / "run.pcapng")
    check_page(scratch / "run/index.html", 2)
    ladder = " ".join(check_picture((scratch / "run/ladder.svg").read_text(), "ladder"))
    check(re.search(r"Dropped: [1-9]\d* +[1-9]\d* × \w+", ladder), f"no reasons of drops: {ladder}")
    for words in ("NAT table before", "is connected to member2 after", "oracle: direct"):
        check(words in ladder, f"the ladder does not say {words!r}")
    check_picture((scratch / "run/film.svg").read_text(), "film")
    return check_capture(scratch / "run.pcapng")


def nothing_is_changed(scratch):
    """whoever draws and captures a run sees the run as it is"""
    runs = [("run", "nat-four", "--seed", 1, "--tier", "stub", "--json", *more) for more in ([], ["--report", scratch / "seen"])]
    plain, drawn = [sim(*run).stdout for run in runs]
    check(plain == drawn, "a run that is drawn is another one")


def pictures_are_made(scratch):
    """the pictures of the documents are made by their command; those that are not as they would be made now are named"""
    made, kept = scratch / "pictures", ROOT / "sim/pictures"
    subprocess.run([kept / "make", made], check=True, timeout=1_200, env={**os.environ, "MOOT_SIM": str(SIM)})
    names = sorted(path.name for path in kept.glob("*.svg"))
    check(names == sorted(path.name for path in made.iterdir()), f"{names} are kept, others are made")
    for name in names:
        check_picture((kept / name).read_text(), f"kept {name}")
        texts = check_picture((made / name).read_text(), name)
        check("simulated" in " ".join(texts).lower(), f"{name} does not say that it is simulated")
    success = " ".join(check_picture((made / "success.svg").read_text(), "success"))
    check("by construction" in success and "arXiv" in success, "success without its caveat or its sources")
    bugs = [name for name in ("grid.svg", "dual.svg") if any(" bug" in text for text in check_picture((made / name).read_text(), name)[6:])]
    check(not bugs, f"{bugs}: pairs that can connect, and did not")
    stale = [name for name in names if (kept / name).read_bytes() != (made / name).read_bytes()]
    return f"made again with sim/pictures/make, these would be others: {', '.join(stale)}" if stale else "all as kept"


def failures_say_how_to_see_them(scratch):
    """a run that fails names the command that draws it, and that command draws it"""
    said = sim("replay", "members 2 open; start all; join all; settle 1ms", code=1).stderr
    found = re.search(r"^draw it with: moot-sim (replay) '(.*)' --tier stub --report report$", said, re.MULTILINE)
    check(found, said)
    sim(found[1], found[2], "--tier", "stub", "--report", scratch / "failed", code=1)
    film = " ".join(check_picture((scratch / "failed/film.svg").read_text(), "film"))
    check("broken" in film, "the film of a run that failed does not say what is broken")


def what_cannot_be_is_said(scratch):
    """members who are not there, directories that are files, and files that are no figures are refused in words"""
    file = scratch / "file"
    file.write_text("{}\n")
    cases = [
        (("run", "nat-four", "--tier", "stub", "--report", scratch / "x", "--pair", "0,9"), "there are no members 0 and 9"),
        (("run", "nat-four", "--tier", "stub", "--report", scratch / "x", "--pair", "1,1"), "two different members"),
        (("run", "nat-four", "--tier", "stub", "--report", file), "cannot make"),
        (("run", "nat-four", "--tier", "stub", "--pcap", scratch / "none/x.pcapng"), "cannot write"),
        (("report", scratch / "x", "--grow", file), "line 1: no line of moot-sim grow --json"),
    ]
    for args, says in cases:
        said = sim(*args, code=2).stderr
        check(says in said, f"{args}: {said}")


def main():
    if not SIM.exists():
        sys.exit("build moot-sim first: cargo build --release -p folkmoot-sim")
    cases = [run_is_drawn, nothing_is_changed, pictures_are_made, failures_say_how_to_see_them, what_cannot_be_is_said]
    for case in cases:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as scratch:
            try:
                note = case(Path(scratch))
            except (Failed, xml.ParseError, subprocess.SubprocessError, ValueError, OSError) as error:
                sys.exit(f"FAILED {case.__doc__}: {error}")
        print(f"{time.monotonic() - began:5.1f} s  {case.__doc__}" + (f": {note}" if note else ""))


if __name__ == "__main__":
    main()

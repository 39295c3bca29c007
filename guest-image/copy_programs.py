#!/usr/bin/env python3
"""Copies programs and the shared libraries they need from one tree into another.

copy_programs.py FROM_TREE TO_TREE /usr/sbin/PROGRAM...
"""
import os
import shutil
import struct
import sys

PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
DT_NULL, DT_NEEDED, DT_STRTAB = 0, 1, 5

source, target, *programs = sys.argv[1:]
libraries = {}
for top in ("lib", "lib64", "usr/lib"):
    for folder, _, entries in os.walk(os.path.join(source, top)):
        for entry in entries:
            libraries.setdefault(entry, os.path.join(folder, entry))


def needs(path):
    """The names of the libraries (and of the loader) in the ELF file's dynamic section."""
    with open(path, "rb") as elf:
        data = elf.read()
    start, count = struct.unpack_from("<Q", data, 32)[0], struct.unpack_from("<H", data, 56)[0]
    segments = [struct.unpack_from("<IIQQQQQQ", data, start + 56 * i) for i in range(count)]

    def offset(address):
        return next(address - s[3] + s[2] for s in segments if s[0] == PT_LOAD and s[3] <= address < s[3] + s[5])

    def text(at):
        return data[at : data.index(b"\0", at)].decode()

    entries = []
    for segment in segments:
        if segment[0] == PT_INTERP:
            yield os.path.basename(text(segment[2]))
        if segment[0] == PT_DYNAMIC:
            entries = list(struct.iter_unpack("<QQ", data[segment[2] : segment[2] + segment[5]]))
            entries = entries[: [tag for tag, _ in entries].index(DT_NULL)]
    strings = next((offset(value) for tag, value in entries if tag == DT_STRTAB), 0)
    for tag, value in entries:
        if tag == DT_NEEDED:
            yield text(strings + value)


def copy(path, name):
    destination = target + name
    if os.path.exists(destination):
        return
    os.makedirs(os.path.dirname(destination), exist_ok=True)
    shutil.copy(os.path.realpath(path), destination)
    for library in needs(path):
        if library not in libraries:
            sys.exit(f"missing library: {library}, needed by {name}")
        folder = "/lib64/" if library.startswith("ld-linux") else "/lib/x86_64-linux-gnu/"
        copy(libraries[library], folder + library)


for program in programs:
    found = next((source + p for p in (program, "/usr" + program) if os.path.exists(source + p)), None)
    if found is None:
        sys.exit(f"missing program: {program}")
    copy(found, program)

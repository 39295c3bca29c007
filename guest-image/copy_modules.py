#!/usr/bin/env python3
"""Copies kernel modules and what they depend on, numbered in the order to load them.

copy_modules.py KERNEL_MODULES_DIR OUT_DIR MODULE... [-- DIR_ALREADY_COPIED...]

A name the kernel has no file for is built in, or not wanted by this kernel, and is skipped.
"""
import os
import re
import shutil
import sys

source, out, *names = sys.argv[1:]
have = []
if "--" in names:
    have = names[names.index("--") + 1 :]
    names = names[: names.index("--")]

files = {}
for folder, _, entries in os.walk(os.path.join(source, "kernel")):
    for entry in entries:
        if entry.endswith(".ko"):
            files[entry[:-3].replace("-", "_")] = os.path.join(folder, entry)

done = {entry.split("-", 1)[1] for folder in have for entry in os.listdir(folder)}
ordered = []


def add(name):
    path = files.get(name.replace("-", "_"))
    if path is None or path in ordered or os.path.basename(path) in done:
        return
    with open(path, "rb") as module:
        depends = re.search(rb"\0depends=([^\0]*)\0", module.read())
    for needed in depends.group(1).decode().split(",") if depends else []:
        if needed:
            add(needed)
    ordered.append(path)


for name in names:
    add(name)
os.makedirs(out, exist_ok=True)
for number, path in enumerate(ordered, 10):
    shutil.copyfile(path, os.path.join(out, f"{number}-{os.path.basename(path)}"))

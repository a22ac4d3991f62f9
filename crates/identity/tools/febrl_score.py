#!/usr/bin/env python3
"""F1 of links between FEBRL4's files: `rec-N-org` is `rec-N-dup-0`. usage: febrl_score.py LINKS.csv [RECORDS=5000]"""
import csv, sys
links = [(r["a"], r["b"]) for r in csv.DictReader(open(sys.argv[1]))]
total = int(sys.argv[2]) if len(sys.argv) > 2 else 5000
right = sum(a.rsplit("-", 1)[0] == b.rsplit("-dup", 1)[0] for a, b in links)
print(f"links {len(links)} right {right} false {len(links) - right} missed {total - right} F1 {2 * right / (len(links) + total):.5f}")

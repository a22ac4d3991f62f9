#!/usr/bin/env python3
"""Grows a roster to N records for timing: the given records, then strangers with names, birth dates, streets drawn apart.
usage: grow.py ROSTER.csv.gz OUT.csv N"""
import csv, gzip, random, sys
rows = list(csv.DictReader(gzip.open(sys.argv[1], "rt", newline=""))); r = random.Random(1); n = int(sys.argv[3])
with open(sys.argv[2], "w", newline="") as f:
    w = csv.DictWriter(f, list(rows[0])); w.writeheader(); w.writerows(rows)
    for i in range(n - len(rows)):
        p = {k: rows[r.randrange(len(rows))][k] for k in rows[0]}
        a = rows[r.randrange(len(rows))]; p.update(city=a["city"], state=a["state"], zip=a["zip"])
        h = i // 2; p["subscriber_id"] = f"W{100000000 + h}"; p["member_id"] = p["subscriber_id"] + f"{i % 2:02}"
        p["phone"] = f"555{r.randrange(2000000, 9999999)}"; p["address_line"] = f"{r.randrange(1, 9999)} {p['address_line'].partition(' ')[2]}"
        p["ssn"] = str(r.randrange(900000000, 999999999)) if p["ssn"] else ""; p["email"] = f"x{i}@example.com" if p["email"] else ""
        y, m, d = p["birth_date"].split("-"); p["birth_date"] = f"{y}-{r.randrange(1, 13):02}-{r.randrange(1, 29):02}"
        p["roster_id"] = f"X{i:07}"; w.writerow(p)

#!/usr/bin/env python3
"""Makes a second member-match benchmark out of a roster: other people missing, other error rates. Standard library only.

usage: perturb.py ROSTER.csv[.gz] OUT_DIR [--seed N] [--rate X] [--absent SHARE] [--queries N] [--collisions N]

Takes SHARE of the people out of the roster and asks for some of them (so their relatives, twins and namesakes stay), asks for
people who are there, spoils every request with errors at X times the base rates, and adds N strangers who bear the name and
birth date of a member. Writes roster.csv and queries.csv in the benchmark's form; `truth` and `tags` are for the scorer only.
"""
import csv, gzip, os, random, sys, unicodedata

BASE = dict(name=.035, family=.03, nick=.04, dob=.04, dob_missing=.012, gender=.012, moved=.18, no_address=.05, street=.04,
            phone=.09, email=.08, married=.06, swapped=.007, relative_name=.005, id_slip=.02, id_relative=.02, ssn=.01)
KEYS = {c: n for row in ("qwertyuiop", "asdfghjkl", "zxcvbnm") for i, c in enumerate(row) for n in [row[max(0, i-1):i] + row[i+1:i+2]]}

def arg(name, default, kind): return kind(sys.argv[sys.argv.index(name) + 1]) if name in sys.argv else default
def rows(path):
    with (gzip.open(path, "rt", newline="") if path.endswith(".gz") else open(path, newline="")) as f: return list(csv.DictReader(f))

fold = lambda s: ''.join(c for c in unicodedata.normalize('NFKD', s.lower()) if c.isalpha())

def slip(w, r):
    if len(w) < 3: return w
    i = r.randrange(len(w) - 1); c = w[i].lower()
    return r.choice([w[:i] + w[i+1:], w[:i] + w[i+1] + w[i] + w[i+2:], w[:i] + r.choice(KEYS.get(c, "e") or "e") + w[i+1:], w[:i] + w[i] + w[i:]])

def spoil(p, r, x, all_rows, house, nick):
    q, tags = dict(p), []
    def hit(k):
        if r.random() < BASE[k] * x: tags.append(k); return True
    other = lambda k: r.choice(all_rows)[k]
    if hit("relative_name") and len(house) > 1: q["first_name"] = r.choice([h for h in house if h is not p])["first_name"]
    elif hit("nick") and nick.get(p["first_name"].lower()): q["first_name"] = r.choice(nick[p["first_name"].lower()]).title()
    elif hit("name"): q["first_name"] = slip(q["first_name"], r)
    if q["gender"] == "female" and hit("married"): q["last_name"] = r.choice([other("last_name"), q["last_name"] + "-" + other("last_name")])
    elif hit("family"): q["last_name"] = slip(q["last_name"], r)
    if hit("swapped"): q["first_name"], q["last_name"] = q["last_name"], q["first_name"]
    y, m, d = q["birth_date"].split("-")
    if hit("dob_missing"): q["birth_date"] = ""
    elif hit("dob"):
        k = r.randrange(4)
        if k == 0 and int(d) <= 12: m, d = d, m
        elif k == 1: y = str(int(y) + r.choice([-10, -1, 1, 10]))
        elif k == 2: d = f"{min(28, max(1, int(d) + r.choice([-1, 1, 10, -10]))):02}"
        else: m = f"{r.randrange(1, 13):02}"
        q["birth_date"] = f"{y}-{m}-{d}"
    if hit("gender"): q["gender"] = {"male": "female", "female": "male"}.get(q["gender"], "male")
    if r.random() < .35: q["middle_name"] = ""
    elif r.random() < .5: q["middle_name"] = q["middle_name"][:1]
    if hit("no_address"): q["address_line"] = q["city"] = q["state"] = q["zip"] = ""
    elif hit("moved"):
        o = r.choice(all_rows); q["address_line"] = o["address_line"]
        if r.random() < .55: q["city"], q["state"], q["zip"] = o["city"], o["state"], o["zip"]
    elif hit("street"): q["address_line"] = slip(q["address_line"], r)
    if r.random() < .4: q["phone"] = ""
    elif hit("phone"): q["phone"] = "555" + str(r.randrange(2000000, 9999999))
    if r.random() < .6: q["email"] = ""
    elif hit("email"): q["email"] = f"{q['first_name'].lower()}{r.randrange(9999)}@example.com"
    ssn = q["ssn"]
    if ssn and hit("ssn"): i = r.randrange(9); ssn = ssn[:i] + str((int(ssn[i]) + 1 + r.randrange(8)) % 10) + ssn[i+1:]
    k = r.random(); q["ssn"] = ssn if k < .08 else ""; q["ssn_last4"] = ssn[-4:] if .08 <= k < .28 else ""
    return q, tags

def main():
    seed, x, absent = arg("--seed", 1, int), arg("--rate", 1.0, float), arg("--absent", .3, float)
    n, coll = arg("--queries", 8000, int), arg("--collisions", 20, int)
    r = random.Random(seed); people = rows(sys.argv[1]); out = sys.argv[2]; os.makedirs(out, exist_ok=True)
    same = {}                                    # one person may be in the roster twice: same name and birth date, address or SSN
    for p in people: same.setdefault((fold(p["first_name"]), fold(p["last_name"]), p["birth_date"]), []).append(p)
    groups = list(same.values()); r.shuffle(groups)
    gone, kept = groups[:int(len(groups) * absent)], groups[int(len(groups) * absent):]
    roster = [p for g in kept for p in g]; there = {id(p) for p in roster}
    house = {}
    for p in people: house.setdefault(p["subscriber_id"], []).append(p)
    nick = {}
    for line in os.environ.get("NICK", "").splitlines():
        for a in (w := line.split()):
            nick.setdefault(a, []).extend(b for b in w if b != a)
    fields = ["query_id", "first_name", "middle_name", "last_name", "suffix", "birth_date", "gender", "ssn", "ssn_last4", "address_line",
              "city", "state", "zip", "phone", "email", "member_id", "truth", "tags"]
    queries = []
    def ask(p, truth, tags):
        q, t = spoil(p, r, x, people, house[p["subscriber_id"]], nick); k = r.random(); q["member_id"] = ""
        if truth and k < .45:
            q["member_id"] = p["member_id"]; j = r.random()
            if j < .1: q["member_id"] = p["subscriber_id"]
            elif j < .1 + BASE["id_slip"] * x: q["member_id"] = slip(p["member_id"], r); t.append("id_slip")
            elif j < .1 + (BASE["id_slip"] + BASE["id_relative"]) * x: q["member_id"] = r.choice(house[p["subscriber_id"]])["member_id"]; t.append("id_relative")
        elif not truth and k < .4:
            near = [h for h in house[p["subscriber_id"]] if id(h) in there]
            if near and r.random() < .6: q["member_id"] = r.choice([r.choice(near)["member_id"], p["subscriber_id"]]); t.append("id_of_covered_relative")
            else: q["member_id"] = r.choice(["W", "H", ""]) + str(r.randrange(10**10, 10**11)); t.append("foreign_id")
        if len([h for h in house[p["subscriber_id"]] if h["birth_date"] == p["birth_date"] and h is not p]): t.append("twin")
        if not truth and any(id(h) in there for h in house[p["subscriber_id"]]): t.append("relative_in_roster")
        if r.random() < .2: q = {k: (v.upper() if k in ("first_name", "last_name", "address_line", "city") else v) for k, v in q.items()}
        q.update(truth="|".join(truth), tags=";".join(t + tags)); queries.append(q)
    for _ in range(int(n * .7)):
        g = r.choice(kept); ask(r.choice(g), [p["roster_id"] for p in g], [])
    for _ in range(n - int(n * .7) - coll): ask(r.choice(r.choice(gone)), [], [])
    for _ in range(coll):
        a, b = r.choice(roster), r.choice(people)
        ask(dict(b, first_name=a["first_name"], last_name=a["last_name"], birth_date=a["birth_date"], gender=a["gender"],
                 ssn=str(r.randrange(900000000, 999999999)), email="", suffix="", subscriber_id=b["subscriber_id"], phone="555" + str(r.randrange(2000000, 9999999))), [], ["collision"])
    r.shuffle(queries)
    for i, q in enumerate(queries): q["query_id"] = f"Q{i:06}"
    for name, cols, data in (("roster.csv", list(people[0]), roster), ("queries.csv", fields, queries)):
        with open(os.path.join(out, name), "w", newline="") as f:
            w = csv.DictWriter(f, cols, extrasaction="ignore"); w.writeheader(); w.writerows(data)

main()

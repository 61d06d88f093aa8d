#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Number the notifier calls of a patched tree, so that each can be broken.

instrument.py TREE NAMED PATCH...: in each C file and header that a PATCH (a hook)
touches, a call mmu_notifier_X(args) becomes mutant_X(number, args), and
MUTANT("name"), which the patch NAMED has put in, becomes mutant_named(number).
What the patches add and what is found must agree. Prints how many there are.
"""
import collections
import os
import re
import sys

DROP, SHORT, HEAD, EARLY, LATE, WEAK, OPEN, NAMED, WIDE, UNMAP, TWICE = (
    1 << n for n in range(1, 12))
START = DROP | SHORT | HEAD | EARLY | LATE | WEAK | WIDE | UNMAP | TWICE
CALLS = {
    "mmu_notifier_invalidate_range_start": ("start", START),
    "mmu_notifier_invalidate_range_start_nonblock": ("start_nonblock", START),
    "mmu_notifier_invalidate_range_end": ("end", OPEN),
    "mmu_notifier_invalidate_page": ("page", DROP | LATE),
    "mmu_notifier_clear_flush_young": ("clear_flush_young", DROP),
    "mmu_notifier_clear_young": ("clear_young", DROP),
    "mmu_notifier_test_young": ("test_young", DROP),
    "mmu_notifier_ages": ("ages", DROP),
    "mmu_notifier_arch_invalidate_secondary_tlbs": ("tlbs", DROP | SHORT),
    "mmu_notifier_release": ("release", DROP),
    "mmu_notifier_fork": ("fork", DROP),
    "export_notifier_clean": ("export_clean", DROP),
    "export_notifier_unmap": ("export_unmap", DROP),
    "export_notifier_free": ("export_free", DROP),
    "mm_has_notifiers": ("has_notifiers", DROP),
    "ptep_clear_young_notify": ("ptep_clear_young_notify", DROP),
    "pmdp_clear_young_notify": ("pmdp_clear_young_notify", DROP),
}
CALL = re.compile(r'(?<![\w"])(?:(%s)\(|(MUTANT)\("([^"]+)"\))' % "|".join(CALLS))
DEFINED = re.compile(r"^static inline .*?\b(?:ptep|pmdp)_clear_young_notify\(", re.M)


def function_at(text, position):
    """The function around a position: the last that began in column 0."""
    name = "?"
    for line in re.finditer(r"^(?!\s|#|\{|\}|/|\*|\w+:$)(?:[^\n;=(]*?)\b(\w+)\(", text[:position], re.M):
        name = line.group(1)
    return name


def added(patches):
    """How many calls the patches add to each file."""
    count = collections.Counter()
    for patch in patches:
        path = None
        for line in open(patch, encoding="utf-8"):
            if line.startswith("+++ b/"):
                path = line[6:].strip()
            elif path and line[:1] in "+-":
                sign = 1 if line[0] == "+" else -1
                if not DEFINED.match(line[1:]):
                    count[path] += sign * sum(1 for c in CALL.findall(line[1:]) if c[0])
    return count


def main():
    tree, named, patches = sys.argv[1], sys.argv[2], sys.argv[3:]
    hooked = set(added(patches))
    expected = added([named] + patches)
    # Other architectures have no kernel here to be wrong in.
    foreign = re.compile(r"arch/(?!x86/)")
    names, table = collections.Counter(), ['\t{ "none", 0 },']
    for path in sorted(expected):
        if foreign.match(path):
            continue
        full = os.path.join(tree, path)
        text = open(full, encoding="utf-8").read()
        found = 0

        def replace(match, text=text, path=path):
            nonlocal found
            line = text[text.rfind("\n", 0, match.start()) + 1:match.end()]
            if DEFINED.match(line) or (match.group(1) and path not in hooked):
                return match.group(0)
            call, kinds = CALLS.get(match.group(1), ("named", NAMED))
            if not match.group(2):
                found += 1
            name = match.group(3) or f"{path}:{function_at(text, match.start())}:{call}"
            names[name] += 1
            if names[name] > 1:
                name += f"#{names[name]}"
            table.append(f'\t{{ "{name}", {kinds:#x} }},')
            number = len(table) - 1
            return f"mutant_named({number})" if match.group(2) else f"mutant_{call}({number}, "

        changed = CALL.sub(replace, text)
        if found != expected[path]:
            sys.exit(f"instrument: {path}: the hooks add {expected[path]} calls, found {found}")
        if changed == text:
            continue
        include = "#include <linux/mmu_notifier.h>\n"
        if include in changed:
            changed = changed.replace(include, "#include <linux/mmu_notifier_mutants.h>\n", 1)
        else:
            changed = changed.replace("#include ", "#include <linux/mmu_notifier_mutants.h>\n#include ", 1)
        # Never into a file that another tree shares.
        with open(full + ".new", "w", encoding="utf-8") as out:
            out.write(changed)
        os.rename(full + ".new", full)
    with open(os.path.join(tree, "mm/mmu_notifier_mutants_sites.h"), "w", encoding="utf-8") as out:
        out.write("\n".join(table) + "\n")
    print(f"instrument: {len(table) - 1} sites")


if __name__ == "__main__":
    main()

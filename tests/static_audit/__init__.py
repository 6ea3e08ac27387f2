"""`make audit`: known vulnerabilities in what is depended on, and static analysis of what is written here.

| tool | over | needs |
| --- | --- | --- |
| bandit | our Python | nothing |
| pip-audit | constraints.txt | the vulnerability database of PyPI, else that of OSV |
| govulncheck | clients/go | vuln.go.dev |
| npm audit | clients/typescript | the registry's advisories |

A database that is out of reach is named, and the others go on; with STRICT=1 that fails, too. What bandit finds and is
as it should be is explained in pyproject.toml, by test and file, under tool.concert.audit.
"""

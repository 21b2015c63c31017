"""Distinct integer types: mixing an index with a revision is a type error."""

from typing import NewType

Index = NewType("Index", int)
Term = NewType("Term", int)
Subterm = NewType("Subterm", int)
Revision = NewType("Revision", int)
MemberId = NewType("MemberId", int)
LeaseId = NewType("LeaseId", int)

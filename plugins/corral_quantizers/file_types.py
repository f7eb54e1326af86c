"""File types: the names users give to mixes of storage types, with GGUF's ids and the type most tensors get."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from corral import BadRequest


class FileType(NamedTuple):
    """`base` is the storage type of every tensor that no rule of the mix singles out."""

    name: str
    type_id: int
    base: str


FILE_TYPES: Mapping[str, FileType] = MappingProxyType(
    {
        row.name: row
        for row in (
            FileType("F32", 0, "F32"),
            FileType("F16", 1, "F16"),
            FileType("BF16", 32, "BF16"),
            FileType("Q4_0", 2, "Q4_0"),
            FileType("Q4_1", 3, "Q4_1"),
            FileType("Q5_0", 8, "Q5_0"),
            FileType("Q5_1", 9, "Q5_1"),
            FileType("Q8_0", 7, "Q8_0"),
            FileType("Q2_K", 10, "Q2_K"),
            FileType("Q3_K_S", 11, "Q3_K"),
            FileType("Q3_K_M", 12, "Q3_K"),
            FileType("Q3_K_L", 13, "Q3_K"),
            FileType("Q4_K_S", 14, "Q4_K"),
            FileType("Q4_K_M", 15, "Q4_K"),
            FileType("Q5_K_S", 16, "Q5_K"),
            FileType("Q5_K_M", 17, "Q5_K"),
            FileType("Q6_K", 18, "Q6_K"),
            FileType("IQ4_NL", 25, "IQ4_NL"),
            FileType("IQ4_XS", 30, "IQ4_XS"),
            FileType("MXFP4_MOE", 38, "MXFP4"),
        )
    }
)
ALIASES: Mapping[str, str] = MappingProxyType({"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M"})


def parse_file_type(text: str) -> FileType:
    """A file type by its name in any case.  Raises BadRequest listing the names that exist."""
    name = text.strip().upper()
    found = FILE_TYPES.get(ALIASES.get(name, name))
    if found is None:
        raise BadRequest(f"unsupported quantization type {name} - supported types are {', '.join(FILE_TYPES)}")
    return found

"""A wheel with the command in it is for one platform; one without it is for any."""

import sysconfig
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class WheelTag(BuildHookInterface):
    """Sets the wheel's tag; any Python 3 can use it."""

    def initialize(self, version: str, build_data: dict) -> None:
        if (Path(self.root) / "pt2c" / "bin" / "pt2c").is_file():
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{platform}"

"""Files and folders that systems and tools write beside people's own, by their names."""

from __future__ import annotations

import re

SYSTEM_NAMES = frozenset(
    name.casefold()
    for name in (
        # Windows
        *("Thumbs.db", "Thumbs.db:encryptable", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "IconCache.db"),
        *("System Volume Information", "$RECYCLE.BIN", "RECYCLER", "RECYCLED", "$WinREAgent", "Config.Msi"),
        *("msdownld.tmp", "WPSettings.dat", "IndexerVolumeGuid", "Picasa.ini"),
        # macOS
        *("__MACOSX", "Icon\r", "Icon\uf00d", "Desktop DB", "Desktop DF", "AppleDouble", "Network Trash Folder"),
        *("Temporary Items", "TheVolumeSettingsFolder", "TheFindByContentFolder", "Backups.backupdb"),
        # Linux, Android
        *("lost+found", "LOST.DIR", "aquota.user", "aquota.group"),
        # Synology, QNAP, NetApp
        *("@eaDir", "@tmp", "#recycle", "#snapshot", "@Recycle", "@Recently-Snapshot", "@__thumb", "~snapshot"),
        *("@sharebin", "@SynoResource", "@SynoEAStream", "@Transcode"),
        # tools
        *("__pycache__", "CVS"),
    )
)
SYSTEM_PATTERN = re.compile(r"found\.\d{3}|.*(@synoresource|@synoeastream|:zone\.identifier)", re.DOTALL)


def why_ignored(name: str) -> str:
    """Why a file is left aside whatever the layout: a key of `listing.IGNORED`, or an empty string.

    Args:
        name: relative to the data, with `/`: one hidden or system folder in it is enough.
    """
    for part in name.split("/"):
        if part.startswith("."):
            return "hidden"
        if (folded := part.casefold()) in SYSTEM_NAMES or SYSTEM_PATTERN.fullmatch(folded):
            return "system"
    return ""

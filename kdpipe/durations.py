"""Durations in words."""


def duration(seconds: float) -> str:
    """Return a duration in its two largest units, such as `3 min 05 s`; whole seconds stay whole."""
    if round(seconds, 1) < 60:
        return f"{seconds} s" if isinstance(seconds, int) else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"

"""`masking`: how tokens are chosen and replaced for masked language modelling."""

from typing import Self

from pydantic import Field, model_validator

from kdpipe.config.settings.base import Settings
from kdpipe.config.settings.bounds import Count


class MaskingSettings(Settings):
    """Masked language modelling as DistilBERT does it.

    Args:
        probability: share of the tokens of a batch that become targets.
        smoothing: exponent s of token_count^-s, the preference for rare tokens; 0 chooses uniformly.
        mask: share of the targets replaced by the mask token.
        keep: share left as they are.
        random: share replaced by a random token.
        fixed: number of maskings of each example, which the epochs repeat in turns; by default tokens are
            chosen anew in each epoch.
    """

    probability: float = Field(default=0.15, gt=0, lt=1)
    smoothing: float = Field(default=0.7, ge=0, le=10)
    mask: float = Field(default=0.8, ge=0, le=1)
    keep: float = Field(default=0.1, ge=0, le=1)
    random: float = Field(default=0.1, ge=0, le=1)
    fixed: Count | None = None

    @model_validator(mode="after")
    def _shares_sum_to_one(self) -> Self:
        total = self.mask + self.keep + self.random
        if abs(total - 1) > 1e-9:
            raise ValueError(f"mask + keep + random must be 1, found {total:g}")
        return self

"""What an interrupted training continues from."""

import logging
import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from schemas.train import Epoch

log = logging.getLogger("enginesmith")


@dataclass(frozen=True)
class StateFile:
    """A file that is replaced whole after every epoch, and belongs to one training only."""

    path: Path
    identity: str

    def save(self, model: nn.Module, optimizer: torch.optim.Optimizer, done: list[Epoch]) -> None:
        """Write the state under a temporary name, then rename it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(f"{self.path.name}.{os.getpid()}.partial")
        state = {
            "identity": self.identity,
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "epochs": [epoch.model_dump() for epoch in done],
        }
        try:
            torch.save(state, partial)
            partial.replace(self.path)
        finally:
            partial.unlink(missing_ok=True)

    def restore(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> list[Epoch]:
        """Take up the saved state; the epochs that are done, none where there is nothing to use."""
        if not self.path.is_file():
            return []
        try:
            state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
            if state["identity"] != self.identity:
                log.info("%s is of another training: starting anew", self.path)
                return []
            done = [Epoch.model_validate(epoch) for epoch in state["epochs"]]
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
        except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.PickleError) as error:
            log.warning("%s cannot be used (%s): starting anew", self.path, error)
            return []
        return done

    @property
    def best(self) -> Path:
        """Where fine-tuning keeps the best weights until then."""
        return self.path.with_suffix(".best.pt")

    def remove(self) -> None:
        """Once the checkpoint itself is safe; the best weights last, as the state needs them."""
        self.path.unlink(missing_ok=True)
        self.best.unlink(missing_ok=True)

"""Flat licence plates for training: texts, layouts, fonts, colours, and what a camera does to them.

`render_plate(rng)` draws one clean plate; `degrade.crop(rng, plate)` makes the crop that the reader sees.
"""
from .fonts import HELD_OUT, TRAINING, Atlas, load_atlas
from .render import Plate, render_plate

__all__ = ["HELD_OUT", "TRAINING", "Atlas", "Plate", "load_atlas", "render_plate"]

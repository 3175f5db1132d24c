"""Training scenes for the detector: traffic pictures with boxes of vehicles and plates, drawn from a seed."""

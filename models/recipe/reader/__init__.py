"""The plate reader: data, network, training, export, evaluation. Run the parts as `python -m reader.<part>`."""

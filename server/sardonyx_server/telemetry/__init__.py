"""One span for every prediction: recorded after the answer, encoded and sent beside the requests."""

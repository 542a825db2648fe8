"""From encoded bytes to model input: decode, prepare, thumbnail. numpy and codecs only."""

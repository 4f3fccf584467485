"""What programs written for pydocket rely on, sentence by sentence."""

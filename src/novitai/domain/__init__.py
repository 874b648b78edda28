"""The nouns and what may happen to them: pure values, no clock, no I/O, no words of Novita."""

package daemon

// ofLine is what of a line's bound blocks may take of it: the rest is headers,
// acknowledgements, and words. Blocks wait in the exchange then, which knows
// what is urgent, and not at the line, which does not.
func ofLine(limit int64) int64 { return limit * 93 / 100 }

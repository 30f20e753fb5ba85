package main

import "testing"

func TestPrices(t *testing.T) {
	for in, want := range map[string]string{
		"25.00EUR": "25.00EUR", "25EUR": "25.00EUR", "0.5EUR": "0.50EUR", "0EUR": "0.00EUR", "300JPY": "300JPY", "1.25KWD": "1.250KWD", "0.005KWD": "0.005KWD",
	} {
		var p price
		if err := p.Set(in); err != nil || p.String() != want {
			t.Errorf("%q is %q (%v), want %q", in, p.String(), err, want)
		}
	}
	for _, in := range []string{"", "EUR", "25", "25.001EUR", "1.5JPY", "-1EUR", "1e3EUR", "25.EUR", ".5EUR", "25eur", "25.00EU", "99999999999999999EUR"} {
		var p price
		if err := p.Set(in); err == nil {
			t.Errorf("%q passed as %s", in, p.String())
		}
	}
}

package main

import (
	"fmt"
	"strconv"
	"strings"

	"playnode/daemon"
)

// minorDigits are the currencies whose minor unit is not a hundredth (ISO 4217).
var minorDigits = map[string]int{
	"BIF": 0, "CLP": 0, "DJF": 0, "GNF": 0, "ISK": 0, "JPY": 0, "KMF": 0, "KRW": 0, "PYG": 0, "RWF": 0, "UGX": 0, "VND": 0, "VUV": 0,
	"XAF": 0, "XOF": 0, "XPF": 0, "BHD": 3, "IQD": 3, "JOD": 3, "KWD": 3, "LYD": 3, "OMR": 3, "TND": 3,
}

func digitsOf(currency string) int {
	if n, ok := minorDigits[currency]; ok {
		return n
	}
	return 2
}

// price is an amount such as 25.00EUR, as a flag.
type price daemon.Price

func (p *price) Set(s string) error {
	if len(s) < 4 {
		return fmt.Errorf("%q is no price such as 25.00EUR", s)
	}
	amount, currency := strings.TrimSpace(s[:len(s)-3]), s[len(s)-3:]
	if strings.Trim(currency, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return fmt.Errorf("%q does not end in a currency such as EUR", s)
	}
	whole, part, _ := strings.Cut(amount, ".")
	n := digitsOf(currency)
	if len(part) > n {
		return fmt.Errorf("%s has %d decimals", currency, n)
	}
	v, err := strconv.ParseUint(whole+part+strings.Repeat("0", n-len(part)), 10, 40)
	if err != nil || whole == "" || strings.HasSuffix(amount, ".") {
		return fmt.Errorf("%q is no price such as 25.00EUR", s)
	}
	*p = price{Amount: v, Currency: currency}
	return nil
}

func (p *price) String() string {
	if p.Currency == "" {
		return ""
	}
	return priceText(daemon.Price(*p))
}

func (*price) Type() string { return "price" }

// priceText is a price for people.
func priceText(p daemon.Price) string {
	n := digitsOf(p.Currency)
	if n == 0 {
		return fmt.Sprintf("%d%s", p.Amount, p.Currency)
	}
	s := fmt.Sprintf("%0*d", n+1, p.Amount)
	return s[:len(s)-n] + "." + s[len(s)-n:] + p.Currency
}

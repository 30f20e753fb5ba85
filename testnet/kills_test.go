package testnet

import (
	"slices"
	"testing"
	"time"
)

// A seed draws the same kills each time, and another one others: five a minute, half of them without a word.
func TestKillsArePlanned(t *testing.T) {
	kills, order := planKills(onAirSeed, 30*time.Second, 90*time.Second, 16)
	again, same := planKills(onAirSeed, 30*time.Second, 90*time.Second, 16)
	if !slices.Equal(kills, again) || !slices.Equal(order, same) {
		t.Error("the same seed draws others")
	}
	if others, other := planKills(onAirSeed+1, 30*time.Second, 90*time.Second, 16); slices.Equal(order, other) && slices.Equal(kills, others) {
		t.Error("another seed draws the same")
	}
	silent := 0
	for i, k := range kills {
		if k.at != 30*time.Second+time.Duration(i)*12*time.Second {
			t.Errorf("kill %d is at %s", i, k.at)
		}
		if k.silent {
			silent++
		}
	}
	if len(kills) != 6 || silent != 3 || len(order) != 16 || slices.Compare(slices.Sorted(slices.Values(order)), []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}) != 0 {
		t.Errorf("%d kills, %d silent, order %v", len(kills), silent, order)
	}
}

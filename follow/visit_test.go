package follow_test

import (
	"errors"
	"testing"

	"playnode/follow"
	"playnode/manifests"
)

// Who visits a DJ knows her keys, and follows, holds and pins nothing of her; a
// name that leads to another DJ than the link's is refused.
func TestAVisitorFollowsNobody(t *testing.T) {
	_, d, visitor := stage(t)
	e := d.track(300_000, 9000)
	d.publish(1, e)
	link := manifests.Link{Name: manifests.Name(d.name)}
	seen, err := visitor.follow.Visit(t.Context(), d.id, link)
	if err != nil || seen.Chain.DJ() != d.id || seen.Chain.Newest().N != 1 {
		t.Fatalf("%v, %v", seen, err)
	}
	if card, err := seen.Card(t.Context()); card != nil || err != nil {
		t.Errorf("a card: %+v, %v", card, err)
	}
	pins, err := visitor.Pins(t.Context())
	if len(pins) != 0 || err != nil || len(visitor.follow.Follows()) != 0 {
		t.Errorf("pins %v, follows %v, %v", pins, visitor.follow.Follows(), err)
	}
	if has, err := visitor.Has(t.Context(), e.Info); has || err != nil {
		t.Errorf("the catalogue is here: %v, %v", has, err)
	}
	if seen, err := visitor.follow.Visit(t.Context(), manifests.DJ{1}, link); !errors.Is(err, follow.ErrVerify) {
		t.Errorf("another DJ: %v, %v", seen, err)
	}
	d.nextRoot(func(*manifests.Root) {})
	d.publish(2, e)
	if seen, err = visitor.follow.Visit(t.Context(), d.id, link); err != nil || seen.Chain.Newest().N != 2 {
		t.Errorf("after her next root: %v, %v", seen, err)
	}
	d.withCard(3, &manifests.Card{Name: "Selecta"}, nil)
	if seen, err = visitor.follow.Visit(t.Context(), d.id, link); err != nil {
		t.Fatal(err)
	}
	if card, err := seen.Card(t.Context()); err != nil || card.Name != "Selecta" {
		t.Errorf("her card: %+v, %v", card, err)
	}
}

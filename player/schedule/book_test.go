package schedule

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// rows is a store in memory, which may be full.
type rows struct {
	all  map[string][]byte
	full error
}

func (r *rows) Each(prefix string, f func(string, []byte) error) error {
	for _, k := range slices.Sorted(maps.Keys(r.all)) {
		if strings.HasPrefix(k, prefix) {
			if err := f(k, r.all[k]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *rows) Apply(puts map[string][]byte, deletes []string) error {
	if r.full != nil {
		return r.full
	}
	for k, v := range puts {
		r.all[k] = bytes.Clone(v)
	}
	for _, k := range deletes {
		delete(r.all, k)
	}
	return nil
}

func open(t *testing.T, r *rows) *Book {
	t.Helper()
	b, err := Open(Config{Store: r, Zone: zone(t, "Europe/Berlin")})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func ids(b *Book) (out []string) {
	for _, s := range b.Schedule().Slots() {
		out = append(out, s.ID+" "+s.Playlist)
	}
	return out
}

// What was set is there after a new start, in its order, and an ID is never given twice.
func TestBookIsKept(t *testing.T) {
	r := &rows{all: map[string][]byte{}}
	b := open(t, r)
	before := b.Schedule()
	for _, p := range []string{"a", "b", "c"} {
		if _, err := b.Set(Slot{Playlist: p, Days: 1, Till: 60, Holidays: "DE"}); err != nil {
			t.Fatal(err)
		}
	}
	if again, err := b.Set(Slot{Playlist: "a", Days: 1, Till: 60, Holidays: "DE"}); err != nil || again.ID != "1" {
		t.Fatalf("set again it is %+v: %v", again, err)
	}
	till := time.Now().Add(time.Hour)
	if err := errors.Join(b.Remove("3"), b.Override(Override{"x", till})); err != nil {
		t.Fatal(err)
	}
	if len(before.Slots()) != 0 {
		t.Error("a schedule that was given has changed")
	}
	for range 2 {
		if got := fmt.Sprint(ids(b)); got != "[1 a 2 b]" { // a was set last
			t.Errorf("slots %s", got)
		}
		if o, ok := b.Schedule().Override(time.Now()); !ok || o.Playlist != "x" || o.Till.Unix() != till.Unix() {
			t.Errorf("override %+v", o)
		}
		if !b.Schedule().Slots()[0].holidays.has(time.Date(2026, 12, 25, 0, 0, 0, 0, time.UTC)) {
			t.Error("its holidays are gone")
		}
		b = open(t, r)
	}
	for _, want := range []string{"5", "6"} { // also where the last is gone
		s, err := b.Set(Slot{Playlist: "d", Days: 1, Till: 60})
		if err != nil || s.ID != want {
			t.Errorf("the next has ID %q, want %s: %v", s.ID, want, err)
		}
		if err := b.Remove(s.ID); err != nil {
			t.Error(err)
		}
		b = open(t, r)
	}
	if err := b.Remove(ByHand); err != nil {
		t.Error(err)
	}
	if _, ok := open(t, r).Schedule().Override(time.Now()); ok {
		t.Error("an override that was taken back is there again")
	}
	for _, id := range []string{"3", "9", ByHand, "", "1/", "slot/1"} {
		if err := b.Remove(id); !errors.Is(err, ErrNone) {
			t.Errorf("remove %q: %v", id, err)
		}
	}
}

// A disk that is full changes nothing, here or there.
func TestBookOnAFullDisk(t *testing.T) {
	r := &rows{all: map[string][]byte{}}
	b := open(t, r)
	if _, err := b.Set(Slot{Playlist: "a", Days: 1, Till: 60}); err != nil {
		t.Fatal(err)
	}
	was := b.Schedule()
	r.full = errors.New("full")
	_, err := b.Set(Slot{Playlist: "b", Days: 1, Till: 60})
	for i, err := range []error{err, b.Remove("1"), b.Override(Override{"x", time.Now().Add(time.Hour)})} {
		if !errors.Is(err, r.full) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if b.Schedule() != was {
		t.Error("it has changed all the same")
	}
	r.full = nil
	if s, err := b.Set(Slot{Playlist: "b", Days: 1, Till: 60}); err != nil || s.ID != "2" {
		t.Errorf("%+v %v", s, err)
	}
}

// Rows that are none are passed over, and there are only so many.
func TestBookOfHostileRows(t *testing.T) {
	r := &rows{all: map[string][]byte{
		"slot/1": []byte(`{"playlist":"a","days":1,"till":60,"set":1}`), "slot/7": []byte(`{"playlist":"b","days":1,"till":60,"set":18446744073709551615}`), "slot/x": []byte(`{"playlist":"b","days":1,"till":60}`),
		"slot/2": []byte(`{"playlist":"b","days":0,"till":60}`), "slot/3": []byte(`{"playlist":"b","days":1,"till":99999}`), "slot/4": []byte(`{"playlist":"\u001b","days":1}`),
		"slot/5": []byte(`{`), "slot/6": []byte(`{"playlist":"b","days":1,"holidays":"XX"}`), "slot/": nil, "override": []byte(`{"playlist":""}`), "given": []byte("18446744073709551615"), "other": nil,
	}}
	b := open(t, r)
	if got := fmt.Sprint(ids(b)); got != "[1 a]" {
		t.Errorf("slots %s", got)
	}
	if s, err := b.Set(Slot{Playlist: "c", Days: 1, Till: 60}); err != nil || s.ID != "2" {
		t.Errorf("the next is %+v: %v", s, err)
	}
	if _, ok := b.Schedule().Override(time.Unix(0, 0)); ok {
		t.Error("an override of nothing")
	}
	r = &rows{all: map[string][]byte{}}
	for i := range MaxSlots + 1 {
		r.all[fmt.Sprint("slot/", i+1)] = fmt.Appendf(nil, `{"playlist":"p%d","days":1,"till":60,"set":%d}`, i, i+1)
	}
	b = open(t, r)
	if n := len(b.Schedule().Slots()); n != MaxSlots {
		t.Errorf("%d slots", n)
	}
	if _, err := b.Set(Slot{Playlist: "more", Days: 1, Till: 60}); !errors.Is(err, ErrRefused) {
		t.Errorf("one more: %v", err)
	}
	if _, err := Open(Config{}); err == nil {
		t.Error("a book of nothing was opened")
	}
}

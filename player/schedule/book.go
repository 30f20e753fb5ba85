package schedule

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// ErrNone says that there is no such slot.
var ErrNone = errors.New("no such slot")

// Store is a durable ordered map; what a method has written is on disk when it
// returns nil.
type Store interface {
	// Each calls f for every key with the prefix, in order.
	Each(prefix string, f func(key string, value []byte) error) error
	// Apply does all of it or none.
	Apply(puts map[string][]byte, deletes []string) error
}

// Config is what a Book needs. Store and Zone are required.
type Config struct {
	Store Store
	// Zone is the venue's.
	Zone *time.Location
	Log  *slog.Logger
}

// Book keeps a Schedule on disk. Safe for concurrent use.
type Book struct {
	cfg Config
	now atomic.Pointer[Schedule]

	mu sync.Mutex // guards what follows, and the order of writes
	// given is the last number that was given to a slot, or to its setting.
	given    uint64
	slots    []Slot
	override *Override
}

// Rows of the store: the last number given, the override, and a slot for each
// ID.
const (
	givenRow    = "given"
	overrideRow = "override"
	slotRow     = "slot/"
)

// numberBits is how long numbers are: nobody counts to their end.
const numberBits = 53

// slotText is a slot's row.
type slotText struct {
	Playlist string `json:"playlist"`
	Days     byte   `json:"days"`
	From     int    `json:"from"`
	Till     int    `json:"till"`
	Holidays string `json:"holidays,omitempty"`
	Priority int    `json:"priority,omitempty"`
	Set      uint64 `json:"set"`
}

// overrideText is the override's.
type overrideText struct {
	Playlist string `json:"playlist"`
	Till     int64  `json:"till"` // Unix seconds
}

// Open reads the schedule. A row that does not read is left as it is, and has no
// say.
func Open(cfg Config) (*Book, error) {
	if cfg.Store == nil || cfg.Zone == nil {
		return nil, errors.New("open schedule: the config is not whole")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	b := &Book{cfg: cfg}
	err := cfg.Store.Each("", func(key string, value []byte) error {
		if err := b.read(key, value); err != nil {
			cfg.Log.Error("a row of the schedule is left out", "row", key, "err", err)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("open schedule: %w", err)
	}
	b.publish()
	return b, nil
}

// read takes a row in.
func (b *Book) read(key string, value []byte) error {
	id, isSlot := strings.CutPrefix(key, slotRow)
	switch {
	case key == givenRow:
		n, err := strconv.ParseUint(string(value), 10, numberBits)
		if err == nil {
			b.given = max(b.given, n)
		}
		return err
	case key == overrideRow:
		var o overrideText
		err := json.Unmarshal(value, &o)
		if err == nil {
			err = checkPlaylist(o.Playlist)
		}
		if err == nil {
			b.override = &Override{o.Playlist, time.Unix(o.Till, 0)}
		}
		return err
	case !isSlot:
		return errors.New("it is of no kind that is known")
	case len(b.slots) == MaxSlots:
		return errors.New("there are too many slots")
	}
	n, err := strconv.ParseUint(id, 10, numberBits)
	if err != nil {
		return err
	}
	var r slotText
	if err := json.Unmarshal(value, &r); err != nil {
		return err
	}
	if r.Set >= 1<<numberBits {
		return errors.New("its number is too great")
	}
	s := Slot{ID: id, Playlist: r.Playlist, Days: r.Days, From: r.From, Till: r.Till, Holidays: r.Holidays, Priority: r.Priority, set: r.Set}
	if err := s.check(); err != nil {
		return err
	}
	b.given = max(b.given, n, r.Set)
	b.slots = append(b.slots, s)
	return nil
}

func (b *Book) publish() { b.now.Store(newSchedule(b.cfg.Zone, b.slots, b.override)) }

// Schedule is how it stands: another one after each change, and the same until
// then.
func (b *Book) Schedule() *Schedule { return b.now.Load() }

// Set adds a slot, and gives it back with its ID. One that there is already, of
// another priority or not, keeps its ID, and counts as set now. The error wraps
// ErrRefused for what is no slot, or one too many.
func (b *Book) Set(s Slot) (Slot, error) {
	if err := s.check(); err != nil {
		return Slot{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.slots, func(o Slot) bool { return o.same(&s) })
	if i < 0 && len(b.slots) == MaxSlots {
		return Slot{}, fmt.Errorf("%w: a schedule has at most %d slots", ErrRefused, MaxSlots)
	}
	s.set = b.given + 1
	if s.ID = strconv.FormatUint(s.set, 10); i >= 0 {
		s.ID = b.slots[i].ID
	}
	row, err := json.Marshal(slotText{s.Playlist, s.Days, s.From, s.Till, s.Holidays, s.Priority, s.set})
	if err == nil {
		err = b.cfg.Store.Apply(map[string][]byte{slotRow + s.ID: row, givenRow: strconv.AppendUint(nil, s.set, 10)}, nil)
	}
	if err != nil {
		return Slot{}, fmt.Errorf("set slot: %w", err)
	}
	b.given = s.set
	if i < 0 {
		b.slots = append(b.slots, s)
	} else {
		b.slots[i] = s
	}
	b.publish()
	return s, nil
}

// Remove takes a slot out, or, by ByHand, the override. The error wraps ErrNone
// where it is not there.
func (b *Book) Remove(id string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.slots, func(o Slot) bool { return o.ID == id })
	row := slotRow + id
	switch {
	case id == ByHand && b.override != nil:
		row = overrideRow
	case i < 0:
		return fmt.Errorf("%w: %.100q", ErrNone, id)
	}
	if err := b.cfg.Store.Apply(nil, []string{row}); err != nil {
		return fmt.Errorf("remove slot: %w", err)
	}
	if id == ByHand {
		b.override = nil
	} else {
		b.slots = slices.Delete(b.slots, i, i+1)
	}
	b.publish()
	return nil
}

// Override has a playlist go before all slots until a time, in place of the
// override that there was. The error wraps ErrRefused for what is no playlist.
func (b *Book) Override(o Override) error {
	if err := checkPlaylist(o.Playlist); err != nil {
		return err
	}
	row, err := json.Marshal(overrideText{o.Playlist, o.Till.Unix()})
	if err != nil {
		return fmt.Errorf("override the schedule: %w", err)
	}
	o.Till = time.Unix(o.Till.Unix(), 0)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.cfg.Store.Apply(map[string][]byte{overrideRow: row}, nil); err != nil {
		return fmt.Errorf("override the schedule: %w", err)
	}
	b.override = &o
	b.publish()
	return nil
}

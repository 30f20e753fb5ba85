package ipns

import (
	"bytes"
	"errors"
	"fmt"
	"time"
)

// The kinds of Alert.
const (
	// Equivocation: the name's key has signed two values under one sequence.
	// Two boxes publish with it, or somebody has stolen it.
	Equivocation = "equivocation"
	// Stale: the newest record known is past its end of life.
	Stale = "stale"
)

// Alert is what a person should know about a name.
type Alert struct {
	Kind string
	Name Name
	// Seq is the sequence that was signed twice, or that of the stale record.
	Seq uint64
	// Since is the stale record's end of life; zero for other kinds.
	Since time.Time
	// Settled tells that a record above the two has come since.
	Settled bool
}

// Text is the alert in one line.
func (a Alert) Text() string {
	switch {
	case a.Kind == Stale:
		return fmt.Sprintf("the record of %s ended %s; nobody has shown a newer one", a.Name, a.Since.UTC().Format(time.RFC3339))
	case a.Settled:
		return fmt.Sprintf("two records of %s were signed with sequence %d; a newer one has settled it", a.Name, a.Seq)
	}
	return fmt.Sprintf("two records of %s are signed with sequence %d: its key is used in two places, or stolen", a.Name, a.Seq)
}

// Alerts is what is wrong with the names of interest now. An equivocation
// stays for as long as its evidence is kept.
func (n *Namer) Alerts() []Alert {
	var out []Alert
	for _, name := range n.interests() {
		newest, err := n.Newest(name)
		if err != nil {
			continue
		}
		if c, err := n.Conflict(name); err == nil {
			out = append(out, Alert{Kind: Equivocation, Name: name, Seq: c.Seq, Settled: newest.Seq > c.Seq})
		}
		if newest.Ended(n.cfg.Now()) {
			out = append(out, Alert{Kind: Stale, Name: name, Seq: newest.Seq, Since: newest.EOL})
		}
	}
	return out
}

// Conflict is the losing record of the last pair seen that had one sequence
// and two values: evidence that name's key signed both. ErrNotFound: none.
func (n *Namer) Conflict(name Name) (Record, error) {
	return n.read(name, conflictKey(name))
}

func conflictKey(name Name) string { return "conflict/" + string(name) }

// accuse keeps the loser of two records with one sequence. n.mu is held.
func (n *Namer) accuse(loser Record) error {
	known, err := n.Conflict(loser.Name)
	if err == nil && bytes.Equal(known.Raw, loser.Raw) {
		return nil
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	n.cfg.Log.Warn("two records of a name are signed with one sequence: its key is used in two places, or stolen",
		"name", loser.Name, "seq", loser.Seq, "lost", loser.Value)
	if err := n.cfg.Store.Put(conflictKey(loser.Name), loser.Raw); err != nil {
		return fmt.Errorf("keep evidence against %s: %w", loser.Name, err)
	}
	return nil
}

package testnet

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

const (
	// onAirSeed is what the story's kills are drawn from.
	onAirSeed = 4
	// killsAMinute of those who carry the set for others are killed; another
	// comes in the place of each after heirAfter.
	killsAMinute = 5
	heirAfter    = 10 * time.Second
	// carriesLeast is the least that the line of one who carries sends, in shares
	// of the set: less is talk.
	carriesLeast = .5
)

// OnAirKill is a venue that was killed while it carried the set for others.
type OnAirKill struct {
	// Second is when, from the set's beginning; Silent that its cable was pulled
	// before: nobody was told.
	Second float64 `json:"second"`
	Venue  string  `json:"venue"`
	Silent bool    `json:"silent"`
	// Children is how many had the set from it.
	Children int `json:"children"`
	OnAirLoss
}

// plannedKill is when one of those who carry is killed, and how.
type plannedKill struct {
	at     time.Duration // since the set began
	silent bool
}

// planKills draws from a seed who is killed between two times of a set, and how:
// half of them, and at most one more, without a word. Whoever carries and stands
// first in order goes; so the same seed tells the same story as far as the same
// boxes carry.
func planKills(seed uint64, from, to time.Duration, venues int) (kills []plannedKill, order []int) {
	rnd := rand.New(rand.NewPCG(seed, 6))
	for at := from; at <= to; at += time.Minute / killsAMinute {
		kills = append(kills, plannedKill{at: at})
	}
	for _, i := range rnd.Perm(len(kills))[:(len(kills)+1)/2] {
		kills[i].silent = true
	}
	return kills, rnd.Perm(venues)
}

// killRelays kills those who carry, as was planned; others come in their place,
// who hear until evening ends.
func (s *set) killRelays(ctx, evening context.Context) error {
	defer s.coming.Wait() // also where it fails
	for _, k := range s.kills {
		if err := pass(ctx, time.Until(s.begin.Add(k.at))); err != nil {
			return err
		}
		v, x, err := s.relay(ctx)
		if err != nil {
			return err
		}
		if v == nil || !v.lose() { // nobody carries now, or it was cut off meanwhile
			continue
		}
		x.Second, x.Silent = time.Since(s.begin).Seconds(), k.silent
		before := s.missed()
		if err := s.end(ctx, v, k.silent); err != nil {
			return err
		}
		heir := s.heirs[0]
		s.heirs = s.heirs[1:]
		s.coming.Go(func() error { return s.inherit(ctx, evening, v, heir, k.silent) })
		s.coming.Go(func() error {
			if err := pass(ctx, time.Minute/killsAMinute-time.Second); err != nil {
				return err
			}
			x.Lost = s.missed() - before
			s.mu.Lock()
			defer s.mu.Unlock()
			s.r.Kills = append(s.r.Kills, x)
			return nil
		})
	}
	if err := s.coming.Wait(); err != nil {
		return err
	}
	slices.SortFunc(s.r.Kills, func(a, b OnAirKill) int { return cmp.Compare(a.Second, b.Second) })
	return nil
}

// relay is the first in order, and behind it of those who came later, that
// carries the set for others; nil where none does.
func (s *set) relay(ctx context.Context) (*listener, OnAirKill, error) {
	all, order := s.venues(), s.order
	for i := len(order); i < len(all); i++ {
		order = append(order, i)
	}
	now := time.Now()
	for _, i := range order {
		v := all[i]
		gave := s.meter.Mean(v.box, now.Add(-5*time.Second), now)
		if !v.hears() || float64(gave) < carriesLeast*float64(8*s.r.SetBytes)/s.r.SetSeconds {
			continue
		}
		c, err := v.carries(ctx)
		if err != nil {
			return nil, OnAirKill{}, err
		}
		if c.Children > 0 {
			return v, OnAirKill{Venue: v.name, Children: c.Children, OnAirLoss: OnAirLoss{Gave: gave}}, nil
		}
	}
	return nil, OnAirKill{}, nil
}

// end ends a venue: with the word that a daemon has for its neighbours when it is
// told to end, or by a cable that is pulled and then a kill.
func (s *set) end(ctx context.Context, v *listener, silent bool) error {
	v.mu.Lock()
	v.up = false
	v.mu.Unlock()
	if !silent {
		_, err := v.stop()
		return err
	}
	if err := s.world.Boxes[v.box].Cut(ctx); err != nil {
		return err
	}
	v.kill()
	return nil
}

// inherit has another venue come in the place of one that was killed, at its box,
// with its cable mended where that was pulled, and hear the set until evening ends.
func (s *set) inherit(ctx, evening context.Context, gone, heir *listener, pulled bool) error {
	if err := pass(ctx, heirAfter); err != nil {
		return err
	}
	box := s.world.Boxes[gone.box]
	if pulled {
		if err := box.Heal(ctx); err != nil {
			return err
		}
	}
	heir.box, heir.Within, heir.listen = gone.box, box.Within(), gone.listen
	peers := []string{s.roles[onAirDJ].addr()}
	for _, v := range s.venues() {
		if v.hears() && !s.boxes.Boxes[v.box].Undialable && len(peers) <= swarmNeighbours {
			peers = append(peers, v.where)
		}
	}
	if err := heir.start(evening, peers...); err != nil {
		return err
	}
	heir.where, heir.up = heir.addr(), true
	s.mu.Lock()
	s.venue = append(s.venue, heir)
	s.mu.Unlock()
	if err := heir.must(ctx, nil, "follow", s.name, "--once", "--timeout", "1m"); err != nil {
		return err
	}
	s.hearing.Go(func() { s.hear(evening, heir) })
	return nil
}

// invite gives those who come later what they need: a repo and a lease each.
func (s *set) invite(ctx context.Context) error {
	for i := range s.kills {
		x, id, err := s.enter(ctx, fmt.Sprint("heir", i+1))
		if err != nil {
			return err
		}
		if err := s.roles[onAirDJ].must(ctx, nil, "lease", "grant", "bar", "--device", id.Device, "--for", "1d"); err != nil {
			return err
		}
		s.heirs = append(s.heirs, &listener{role: x})
	}
	return nil
}

package testnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"playnode/daemon"
	"playnode/testnet/netns"
)

// OnAirReport is how a set was heard as it was played. Rates are in bits a
// second over the lines, headers and all that daemons say included; the highest
// are over any ten seconds.
type OnAirReport struct {
	Venues     int     `json:"venues"`
	Undialable int     `json:"undialable"`
	Up         int64   `json:"upBits"`
	Down       int64   `json:"downBits"`
	DelayMs    float64 `json:"delayMs"`
	// SetSeconds is how long she is on air, SetBytes what she plays in that
	// time, Copies the bits a second of as many of it as venues hear it.
	SetSeconds float64 `json:"setSeconds"`
	SetBytes   int64   `json:"setBytes"`
	Copies     int64   `json:"copiesBits"`
	// SourceBits is the most that the DJ's line sent, SourceMean what it sent
	// all the time; RelayBits is the most of each venue's, in falling order.
	SourceBits int64   `json:"sourceBits"`
	SourceMean int64   `json:"sourceMean"`
	RelayBits  []int64 `json:"relayBits"`
	// Join is from the command listen to the first sample, of those who come
	// while the set is on air, in seconds; Lag is what all told, until they were killed or cut off.
	Joins   int     `json:"joins"`
	JoinP50 float64 `json:"joinP50"`
	JoinP95 float64 `json:"joinP95"`
	LagP50  float64 `json:"lagP50"`
	LagP95  float64 `json:"lagP95"`
	LagMax  float64 `json:"lagMax"`
	// Segments counts those that were on air for a listener, Missed those of
	// them that were not there in time. Who was killed or cut off is left out.
	Segments int64   `json:"segments"`
	Missed   int64   `json:"missed"`
	Share    float64 `json:"missedShare"`
	// Sent is the set in samples, by its track. Whole counts those who heard it
	// from its first to its last and missed nothing, Unlike those of them who
	// heard another number, or other samples than the first one did.
	Sent   int64 `json:"sentSamples"`
	Whole  int   `json:"whole"`
	Unlike int   `json:"unlike"`
	// Killed is the venue that was killed, Cut the one whose line was cut for a
	// time: those who carried the most for others just then.
	Killed OnAirLoss `json:"killed"`
	Cut    OnAirLoss `json:"cut"`
	// Seedbox is what the line of an archivist's box, which has no lease, sent
	// at the end of the set; SourceBefore is what the DJ's did in the ten
	// seconds before it came, SourceAfter as Seedbox.
	Seedbox      int64 `json:"seedboxBits"`
	SourceBefore int64 `json:"sourceBeforeBits"`
	SourceAfter  int64 `json:"sourceAfterBits"`
	// HeldMs is from when the set had become a track until the last venue held
	// it, AfterLine what the DJ's line sent until then from a second after the
	// last segment, which that takes to go out. Of blocks, AfterBlocks is what
	// her daemon gave since shortly before the end, Again the most that one who
	// had heard the whole set received. Lacked is what all others had not heard,
	// in bytes of the set: what was on air before they came, or while they were
	// cut off.
	HeldMs      int64 `json:"heldMs"`
	AfterLine   int64 `json:"afterLineBytes"`
	AfterBlocks int64 `json:"afterBlockBytes"`
	Again       int64 `json:"againBytes"`
	Lacked      int64 `json:"lackedBytes"`
}

// OnAirLoss is a venue that others lost.
type OnAirLoss struct {
	// Gave is what its line sent in the ten seconds before, in bits a second,
	// Lost how many segments all others missed in the next eighth of the set.
	Gave int64 `json:"gaveBits"`
	Lost int64 `json:"lost"`
}

// The story's boxes: the DJ's, the seedbox's, and then the venues'.
const (
	onAirDJ = iota
	onAirSeedbox
	onAirVenues
)

// When what happens does, and is seen to be over, as shares of the set.
const (
	killedFrom, killedTo = .4, .53
	cutFrom, cutTo       = .54, .67
	lentFrom             = .72
)

// onAir is a set of 128 kbit/s for more venues than the DJ's line bears copies of
// it.
func onAir(ctx context.Context, cfg RunConfig, dir string) (any, error) {
	line := netns.Line{Up: 250_000, Down: 1_250_000, Delay: 25 * time.Millisecond}
	r := OnAirReport{Venues: 16, Up: 8 * line.Up, Down: 8 * line.Down, DelayMs: 2 * float64(line.Delay.Milliseconds())}
	loops := 4
	if cfg.Brief {
		r.Venues, loops = 3, 1
	}
	if cfg.Nodes > 0 {
		r.Venues = cfg.Nodes
	}
	r.Undialable = r.Venues / 2
	s := &set{cast: &cast{program: cfg.Binary, dir: dir}, line: line, r: &r}
	defer s.leave()
	defer s.close()
	err := s.tell(ctx, loops)
	switch {
	case err != nil || cfg.Brief:
	case r.SourceBits > 2_000_000:
		err = fmt.Errorf("the DJ's line sent %d bits a second", r.SourceBits)
	case r.Joins == 0 || r.JoinP95 > 2:
		err = fmt.Errorf("of %d who came, a twentieth heard nothing for %.1f s", r.Joins, r.JoinP95)
	case r.LagP95 > 5:
		err = fmt.Errorf("what is heard was played %.1f s ago", r.LagP95)
	case r.Share > .001:
		err = fmt.Errorf("%d of %d segments were missed", r.Missed, r.Segments)
	case r.Whole == 0 || r.Unlike > 0:
		err = fmt.Errorf("of %d who heard the whole set, %d heard another", r.Whole, r.Unlike)
	case r.Again > r.SetBytes/10:
		err = fmt.Errorf("who had heard a set of %d bytes was sent %d more", r.SetBytes, r.Again)
	case float64(max(r.AfterLine, r.AfterBlocks)) > (.1+lentFrom)*float64(r.SetBytes):
		// What some lack leaves her line once at most: the seedbox lacks the most.
		err = fmt.Errorf("after a set of %d bytes the DJ's line sent %d, of blocks %d, where others lacked %d", r.SetBytes, r.AfterLine, r.AfterBlocks, r.Lacked)
	}
	return r, err
}

// tell tells it from the first box on.
func (s *set) tell(ctx context.Context, loops int) error {
	track, file, err := s.record(loops)
	if err != nil {
		return err
	}
	if err := s.gather(ctx, track); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var watch errgroup.Group
	defer watch.Wait()
	defer s.hearing.Wait()
	defer cancel()
	watch.Go(func() error { return s.read(ctx) })

	// A quarter wait for the set, and hear all of it; the others come later.
	early := s.venue[:(len(s.venue)+3)/4]
	for _, v := range early {
		v.file = filepath.Join(s.dir, v.name+".pcm")
		s.hearing.Go(func() { s.hear(ctx, v) })
	}
	if err := pass(ctx, 5*time.Second); err != nil {
		return err
	}
	var aired daemon.Aired
	began := make(chan time.Time, 1)
	air, actx := errgroup.WithContext(ctx)
	air.Go(func() error { return s.play(actx, file, began, &aired) })
	select {
	case s.begin = <-began:
	case <-actx.Done():
		return air.Wait()
	}
	air.Go(func() error {
		if err := s.come(actx, ctx, s.venue[len(early):]); err != nil {
			return err
		}
		err := s.lose(actx, killedFrom, killedTo, &s.r.Killed, func(v *listener) error { v.kill(); return nil }, nil)
		if err != nil {
			return err
		}
		err = s.lose(actx, cutFrom, cutTo, &s.r.Cut, func(v *listener) error { return s.world.Boxes[v.box].Cut(actx) },
			func(v *listener) error { return s.world.Boxes[v.box].Heal(actx) })
		if err != nil {
			return err
		}
		return s.lend(actx)
	})
	if err := air.Wait(); err != nil {
		return err
	}
	if err := s.hold(ctx); err != nil {
		return err
	}
	// Who was cut off may not know that the set is over.
	over := time.AfterFunc(20*time.Second, cancel)
	s.hearing.Wait()
	over.Stop()
	cancel()
	if err := watch.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return s.sum(aired)
}

// close ends the world.
func (s *set) close() {
	if s.world != nil {
		s.world.Close()
	}
}

// until waits for a share of the set to have been on air.
func (s *set) until(ctx context.Context, share float64) error {
	return pass(ctx, time.Until(s.begin.Add(s.length(share))))
}

// length is how long a share of the set is.
func (s *set) length(share float64) time.Duration {
	return time.Duration(share * s.r.SetSeconds * float64(time.Second))
}

// come has venues come one after the other, who hear until evening ends.
func (s *set) come(ctx, evening context.Context, venues []*listener) error {
	for i, v := range venues {
		if err := s.until(ctx, .04+.26*float64(i)/float64(len(venues))); err != nil {
			return err
		}
		s.hearing.Go(func() { s.hear(evening, v) })
	}
	return nil
}

// lose has those who carry the set do without the one that gives the most, from
// one time until another.
func (s *set) lose(ctx context.Context, from, to float64, loss *OnAirLoss, lose, find func(*listener) error) error {
	if err := s.until(ctx, from); err != nil {
		return err
	}
	v, gave := s.busiest()
	if v == nil {
		return nil
	}
	v.mu.Lock()
	v.gone = true
	v.mu.Unlock()
	before := s.missed()
	if err := lose(v); err != nil {
		return err
	}
	if err := s.until(ctx, to); err != nil {
		return err
	}
	loss.Gave, loss.Lost = gave, s.missed()-before
	if find == nil {
		return nil
	}
	return find(v)
}

// lend has a seedbox come, and tells what it changed.
func (s *set) lend(ctx context.Context) error {
	dj, seedbox := s.roles[onAirDJ], s.roles[onAirSeedbox]
	if err := s.until(ctx, lentFrom); err != nil {
		return err
	}
	s.r.SourceBefore = s.mean(onAirDJ, 10*time.Second)
	if err := seedbox.start(ctx, dj.addr()); err != nil {
		return err
	}
	if err := seedbox.must(ctx, nil, "archive", s.name); err != nil {
		return err
	}
	if err := s.until(ctx, .98); err != nil {
		return err
	}
	over := s.length(.16)
	s.r.Seedbox, s.r.SourceAfter = s.mean(onAirSeedbox, over), s.mean(onAirDJ, over)
	return s.blocks(ctx)
}

// sum tells how it went.
func (s *set) sum(aired daemon.Aired) error {
	r := s.r
	r.Sent, r.SetSeconds = aired.Tracks[0].Samples, float64(aired.Tracks[0].Ms)/1000
	r.Copies = int64(float64(8*r.SetBytes) / r.SetSeconds * float64(r.Venues))
	var on []reading
	for _, x := range s.lines {
		if x.at.Before(s.begin) || x.at.After(s.last) {
			continue
		}
		on = append(on, x)
		if x.at.Sub(s.begin) >= 10*time.Second {
			r.SourceBits = max(r.SourceBits, rate(on, onAirDJ, 10*time.Second))
		}
	}
	r.SourceMean = rate(on, onAirDJ, time.Hour)
	for _, v := range s.venue {
		most := int64(0)
		for i := range on {
			if on[i].at.Sub(s.begin) >= 10*time.Second {
				most = max(most, rate(on[:i+1], v.box, 10*time.Second))
			}
		}
		r.RelayBits = append(r.RelayBits, most)
	}
	slices.Sort(r.RelayBits)
	slices.Reverse(r.RelayBits)
	var joins, lags []float64
	var first []byte
	for _, v := range s.venue {
		if v.join > 0 && v.file == "" {
			joins = append(joins, v.join.Seconds())
		}
		lags = append(lags, v.lags...)
		if v.gone {
			continue
		}
		if v.err != nil {
			return v.err
		}
		r.Missed += v.missing
		r.Lacked += r.SetBytes * max(0, r.Sent-v.samples) / r.Sent
		r.Segments += int64(float64(v.samples) / float64(aired.Tracks[0].Rate) / r.SetSeconds * float64(aired.Segments))
		if v.file == "" || v.missing > 0 {
			continue
		}
		sound, err := os.ReadFile(v.file)
		if err != nil {
			return err
		}
		if r.Whole++; first == nil {
			first = sound
		}
		if int64(len(sound)) != 4*r.Sent || !bytes.Equal(sound, first) {
			r.Unlike++
		}
	}
	r.Lacked += int64((cutTo - cutFrom + lentFrom) * float64(r.SetBytes))
	r.Joins, r.JoinP50, r.JoinP95 = len(joins), part(joins, .5), part(joins, .95)
	r.LagP50, r.LagP95, r.LagMax = part(lags, .5), part(lags, .95), part(lags, 1)
	r.Share = float64(r.Missed) / float64(max(1, r.Segments))
	return nil
}

// part is the value below which a share q of v lies.
func part(v []float64, q float64) float64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return v[min(len(v)-1, int(q*float64(len(v))))]
}

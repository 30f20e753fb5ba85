package testnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
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
	// SetSegments is how many segments it has, SegmentBytes what one of them
	// has, sealed. ComeSeconds is when each venue began to hear, from when it
	// went on air.
	SetSegments  int       `json:"setSegments"`
	SegmentBytes int64     `json:"segmentBytes"`
	ComeSeconds  []float64 `json:"comeSeconds"`
	// SourceBits is the most that the DJ's line sent, SourceMean what it sent
	// all the time, SourceSaid what of that her daemon gave as the set, without
	// headers; RelayBits is the most of each venue's, in falling order.
	SourceBits int64   `json:"sourceBits"`
	SourceMean int64   `json:"sourceMean"`
	SourceSaid int64   `json:"sourceSaid"`
	RelayBits  []int64 `json:"relayBits"`
	// Join is from the command listen to the first sample, of those who come
	// while the set is on air, in seconds; Lag is what all told, until they were killed or cut off.
	// SpawnP50 is what the command "version" takes in mid-set, JoinSeconds each
	// one's join, by venues.
	SpawnP50    float64   `json:"spawnP50"`
	Joins       int       `json:"joins"`
	JoinSeconds []float64 `json:"joinSeconds"`
	JoinP50     float64   `json:"joinP50"`
	JoinP95     float64   `json:"joinP95"`
	LagP50      float64   `json:"lagP50"`
	LagP95      float64   `json:"lagP95"`
	LagMax      float64   `json:"lagMax"`
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
	// Kills are the venues that were killed while they carried it for others, so
	// many a minute as KillsAMinute from KillFromSeconds to KillToSeconds. Others
	// came in their place, who are counted as those who come while it is on air.
	// Cut is the one whose line was cut for a time: who carried the most for
	// others just then.
	KillsAMinute    float64     `json:"killsAMinute"`
	KillFromSeconds float64     `json:"killFromSeconds"`
	KillToSeconds   float64     `json:"killToSeconds"`
	Kills           []OnAirKill `json:"kills"`
	Cut             OnAirLoss   `json:"cut"`
	// Before and After are how it was for a while before an archivist's box
	// came, which has no lease, after LentSeconds, and at the end.
	LentSeconds float64    `json:"lentSeconds"`
	Before      OnAirPhase `json:"before"`
	After       OnAirPhase `json:"after"`
	// HeldMs is from when the set had become a track until the last venue held
	// it, AfterLine what the DJ's line sent until then from a second after the
	// last segment, which that takes to go out. Of blocks, AfterBlocks is what
	// her daemon gave since shortly before the end.
	HeldMs      int64 `json:"heldMs"`
	AfterLine   int64 `json:"afterLineBytes"`
	AfterBlocks int64 `json:"afterBlockBytes"`
	// Boxes are what each was sent after that, Lacked of all of them, and
	// LackedOnce the same, each segment once. Again is the most that one box was
	// sent of what it had heard.
	Boxes      []OnAirBox `json:"boxes"`
	Lacked     int64      `json:"lackedBytes"`
	LackedOnce int64      `json:"lackedOnceBytes"`
	Again      int64      `json:"againBytes"`
}

// OnAirBox is what a box was sent in blocks once the set was over, in bytes.
type OnAirBox struct {
	Name string `json:"name"`
	// Records are blocks of the name's new version that are no media. Lacked is
	// media that was on air before the box heard it, or while it was cut off.
	// Twice is what came from two, as one was late.
	Records int64 `json:"records"`
	Lacked  int64 `json:"lacked"`
	Twice   int64 `json:"twice"`
	// Again is all else: what the box had heard. Of one that lacked nothing it
	// is what came twice as well.
	Again int64 `json:"again"`
}

// OnAirPhase is how a set was heard for a while: rates are means over lines,
// depths of its end.
type OnAirPhase struct {
	SourceBits  int64   `json:"sourceBits"`
	SourceSaid  int64   `json:"sourceSaid"` // as in all of it
	SeedboxBits int64   `json:"seedboxBits"`
	Depth       int     `json:"depth"` // the most boxes between the DJ's and a venue's
	MeanDepth   float64 `json:"meanDepth"`
	LagP50      float64 `json:"lagP50"`
	LagP95      float64 `json:"lagP95"`
	Missed      int64   `json:"missed"`
	// Children are those that the archivist's box gave the set to.
	Children int `json:"children"`
}

// OnAirLoss is a venue that others lost.
type OnAirLoss struct {
	// Gave is what its line sent in the ten seconds before it was cut off, the five
	// before it was killed, in bits a second, Lost how many segments all others missed
	// while it was cut off, or until the next one was killed.
	Gave int64 `json:"gaveBits"`
	Lost int64 `json:"lost"`
}

// The story's boxes: the DJ's, the archivist's, and then the venues'.
const (
	onAirDJ = iota
	onAirSeedbox
	onAirVenues
)

// onAirLent is what the archivist's line bears, in bytes a second.
const onAirLent = 12_500_000

// When what happens does, and is seen to be over, as shares of the set.
const (
	killedFrom, killedTo = .3, .86 // so that who comes for the last one hears some of it
	cutFrom, cutTo       = .44, .55
	calmFrom, lentFrom   = .58, .74
	lentTo, almostOver   = .82, .98
)

// OnAirWorld is where it is told: the DJ's box, an archivist's on a line of 100
// Mbit/s, and then the venues', of which half cannot be dialled.
func OnAirWorld(venues int) netns.Config {
	line := netns.Line{Up: 250_000, Down: 1_250_000, Delay: 25 * time.Millisecond}
	c := netns.Config{Boxes: []netns.BoxConfig{{Line: line}, {Line: netns.Line{Up: onAirLent, Down: onAirLent, Delay: 10 * time.Millisecond}}}, Seed: 1}
	for _, at := range rand.New(rand.NewPCG(1, 1)).Perm(venues) {
		c.Boxes = append(c.Boxes, netns.BoxConfig{Line: line, Undialable: at < venues/2})
	}
	return c
}

// OnAirEarly is how many of the venues wait for the set, OnAirComes when venue
// i begins to hear it, as a share of it.
func OnAirEarly(venues int) int { return (venues + 3) / 4 }

// OnAirComes is 0 for those who wait for it; the others come one after another.
func OnAirComes(i, venues int) float64 {
	early := OnAirEarly(venues)
	if i < early {
		return 0
	}
	return .04 + .26*float64(i-early)/float64(venues-early)
}

// onAir is a set of 128 kbit/s for more venues than the DJ's line bears copies of
// it.
func onAir(ctx context.Context, cfg RunConfig, dir string) (any, error) {
	r := OnAirReport{Venues: 16}
	loops := 4
	if cfg.Brief {
		r.Venues, loops = 3, 1
	}
	if cfg.Nodes > 0 {
		r.Venues = cfg.Nodes
	}
	wc := OnAirWorld(r.Venues)
	line := wc.Boxes[onAirDJ].Line
	r.Undialable, r.Up, r.Down, r.DelayMs = r.Venues/2, 8*line.Up, 8*line.Down, 2*float64(line.Delay.Milliseconds())
	s := &set{cast: &cast{program: cfg.Binary, dir: dir}, boxes: wc, r: &r}
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
	case len(r.Kills) == 0:
		err = errors.New("nobody who carried it was killed")
	case r.Share > .001:
		err = fmt.Errorf("%d of %d segments were missed", r.Missed, r.Segments)
	case r.Whole == 0 || r.Unlike > 0:
		err = fmt.Errorf("of %d who heard the whole set, %d heard another", r.Whole, r.Unlike)
	case r.HeldMs > 10_000:
		err = fmt.Errorf("the set was a track on all boxes after %d ms", r.HeldMs)
	case r.Again > r.SetBytes/100:
		err = fmt.Errorf("of a set of %d bytes, %d that a box had heard were sent to it again", r.SetBytes, r.Again)
	case max(r.AfterLine, r.AfterBlocks) > r.LackedOnce+r.SetBytes/10:
		// What somebody lacks leaves her line once at most.
		err = fmt.Errorf("after a set of %d bytes the DJ's line sent %d, of blocks %d, where others lacked %d of it", r.SetBytes, r.AfterLine, r.AfterBlocks, r.LackedOnce)
	}
	return r, err
}

// tell tells it from the first box on.
func (s *set) tell(ctx context.Context, loops int) error {
	track, file, err := s.record(loops)
	if err != nil {
		return err
	}
	s.r.KillsAMinute, s.r.KillFromSeconds, s.r.KillToSeconds = killsAMinute, s.length(killedFrom).Seconds(), s.length(killedTo).Seconds()
	s.kills, s.order = planKills(onAirSeed, s.length(killedFrom), s.length(killedTo), s.r.Venues)
	if err := s.gather(ctx, track); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var watch errgroup.Group
	defer watch.Wait()
	defer s.hearing.Wait()
	defer cancel()
	s.meter = netns.NewMeter(s.world)
	watch.Go(func() error { return s.meter.Run(ctx) })

	// A quarter wait for the set, and hear all of it; the others come later.
	early := s.venue[:OnAirEarly(len(s.venue))]
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
		if err := s.come(actx, ctx); err != nil {
			return err
		}
		if err := s.cutOff(actx, cutFrom, cutTo); err != nil {
			return err
		}
		return s.lend(actx, ctx)
	})
	air.Go(func() error { return s.killRelays(actx, ctx) })
	if err := air.Wait(); err != nil {
		return err
	}
	if err := s.hold(ctx, aired); err != nil {
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

// come has the venues come that do not wait for the set, who hear until evening
// ends.
func (s *set) come(ctx, evening context.Context) error {
	all := s.venues()
	for i, v := range all {
		at := OnAirComes(i, len(all))
		s.r.ComeSeconds = append(s.r.ComeSeconds, s.length(at).Seconds())
		if at == 0 {
			continue
		}
		if err := s.until(ctx, at); err != nil {
			return err
		}
		s.hearing.Go(func() { s.hear(evening, v) })
	}
	return nil
}

// cutOff has those who carry the set do without the one that gives the most, from
// one time until another.
func (s *set) cutOff(ctx context.Context, from, to float64) error {
	if err := s.until(ctx, from); err != nil {
		return err
	}
	v, gave := s.busiest()
	if v == nil || !v.lose() {
		return nil
	}
	before := s.missed()
	box := s.world.Boxes[v.box]
	if err := box.Cut(ctx); err != nil {
		return err
	}
	if err := s.until(ctx, to); err != nil {
		return err
	}
	s.r.Cut = OnAirLoss{gave, s.missed() - before}
	return box.Heal(ctx)
}

// lend has an archivist's box come, which runs until evening ends, and tells what
// it changed. It says what its line bears, as who lends one does.
func (s *set) lend(ctx, evening context.Context) error {
	dj, seedbox := s.roles[onAirDJ], s.roles[onAirSeedbox]
	if err := s.until(ctx, cutTo); err != nil {
		return err
	}
	if err := s.spawn(ctx); err != nil {
		return err
	}
	if err := s.during(ctx, calmFrom, lentFrom, &s.r.Before); err != nil {
		return err
	}
	s.r.LentSeconds = time.Since(s.begin).Seconds()
	if err := seedbox.startWith(evening, []string{dj.addr()}, "--upload-limit", fmt.Sprint(onAirLent)); err != nil {
		return err
	}
	if err := seedbox.must(ctx, nil, "archive", s.name); err != nil {
		return err
	}
	if err := s.during(ctx, lentTo, almostOver, &s.r.After); err != nil {
		return err
	}
	return s.stock(ctx)
}

// spawn measures what any command takes.
func (s *set) spawn(ctx context.Context) error {
	var took []float64
	for range 5 {
		begin := time.Now()
		if err := s.roles[onAirSeedbox].must(ctx, nil, "version"); err != nil {
			return err
		}
		took = append(took, time.Since(begin).Seconds())
	}
	s.r.SpawnP50 = part(took, .5)
	return nil
}

// sum tells how it went.
func (s *set) sum(aired daemon.Aired) error {
	r := s.r
	r.SetSegments = int(aired.Segments)
	r.Sent, r.SetSeconds = aired.Tracks[0].Samples, float64(aired.Tracks[0].Ms)/1000
	r.Copies = int64(float64(8*r.SetBytes) / r.SetSeconds * float64(r.Venues))
	r.SourceBits, r.SourceMean = s.meter.Most(onAirDJ, 10*time.Second, s.begin, s.last), s.meter.Mean(onAirDJ, s.begin, s.last)
	for box := onAirVenues; box < len(s.boxes.Boxes); box++ {
		r.RelayBits = append(r.RelayBits, s.meter.Most(box, 10*time.Second, s.begin, s.last))
	}
	slices.Sort(r.RelayBits)
	slices.Reverse(r.RelayBits)
	var joins, lags []float64
	var first []byte
	for _, v := range s.venues() {
		if v.join > 0 && v.file == "" {
			joins = append(joins, v.join.Seconds())
		}
		for _, x := range v.told {
			lags = append(lags, x.lag)
		}
		if v.gone {
			continue
		}
		if v.err != nil {
			return v.err
		}
		r.Missed += v.missing
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
	r.JoinSeconds = slices.Clone(joins)
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

package sim

import (
	"time"

	"playnode/testnet/ear"
)

// depths is how many boxes stand between the DJ and those who hear her.
type depths struct {
	most int
	mean float64
}

// heard is how one who asked at a time heard it.
type heard struct {
	ear.Heard
	asked time.Time
}

// lends tells whether the box is an archivist's.
func (l *listener) lends() bool { return l.node.Name == "seedbox" }

// depths is how it is now.
func (s *stage) depths() (d depths) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, l := range s.all {
		l.mu.Lock()
		if !l.killed && l.feed != nil && !l.lends() {
			if at := l.feed.Stats().Depth; at >= 0 {
				d.most = max(d.most, at)
				d.mean += float64(at)
				n++
			}
		}
		l.mu.Unlock()
	}
	d.mean /= float64(max(1, n))
	return d
}

// most is the highest rate over any ten seconds, in bytes a second.
func most(sent []int64) (rate float64) {
	for i := range sent {
		if i >= 10 {
			rate = max(rate, float64(sent[i]-sent[i-10])/10)
		}
	}
	return rate
}

// mean is the rate of the last of so many seconds, in bits a second.
func mean(sent []int64, seconds int) int64 {
	from := len(sent) - 1 - seconds
	if seconds <= 0 || len(sent) == 0 {
		return 0
	}
	if from < 0 {
		return 8 * sent[len(sent)-1] / int64(seconds) // it came later, and had sent nothing
	}
	return 8 * (sent[len(sent)-1] - sent[from]) / int64(seconds)
}

// sum tells how it went. The set has ended.
func (s *stage) sum(r *LiveReport) {
	end := s.depths()
	s.mu.Lock()
	defer s.mu.Unlock()
	var sound, join, crowd, delay, begin, rushed, lag []float64
	var all []heard
	var received, twice, near, inside int64
	var lent []int64
	segments, unheard, placed := 0, 0, 0
	for _, l := range s.all {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.lends() {
			lent = l.sent
			r.SeedboxBits = int64(8 * most(l.sent))
		}
		if l.killed {
			r.Killed++
			continue
		}
		if l.sound == 0 {
			r.Deaf++
		} else {
			sound = append(sound, l.sound.Seconds())
			if l.crowd {
				crowd = append(crowd, l.join.Seconds())
			} else {
				join = append(join, l.join.Seconds())
			}
		}
		for _, d := range l.delays {
			delay = append(delay, d.Seconds())
		}
		r.Heard += len(l.delays)
		r.MissedN += l.missed
		if l.node.Up > 0 {
			r.RelayShare = max(r.RelayShare, most(l.sent)/float64(l.node.Up))
		}
		if l.feed != nil {
			st := l.feed.Stats()
			received, twice = received+st.Received, twice+st.Twice
			r.Pulled += st.Pulled
			if st.Depth >= 0 {
				placed++
			}
			r.Parents += float64(st.Parents) / s.cfg.Length.Minutes()
			if l.lan > 0 {
				near, inside = near+st.Near, inside+st.Received
			}
		}
		if l.lends() {
			continue
		}
		l.came.Cut = s.cut
		h := ear.Hear(l.came)
		all = append(all, heard{h, l.came.Asked})
		segments, unheard = segments+h.Segments, unheard+len(h.Missed)
		switch {
		case h.Join == 0 || l.edge < 2: // it waited for the set to begin
		case l.crowd:
			rushed = append(rushed, h.Join.Seconds())
		default:
			begin = append(begin, h.Join.Seconds())
		}
		for _, d := range h.Lags {
			lag = append(lag, d.Seconds())
		}
	}
	r.SourceBits, r.SourceMean = int64(8*most(s.source.sent)), mean(s.source.sent, len(s.source.sent)-1)
	r.SoundP95, r.JoinP50, r.JoinP95, r.JoinMax = quantile(sound, .95), quantile(join, .5), quantile(join, .95), quantile(join, 1)
	r.CrowdP50, r.CrowdP95, r.CrowdBeginP95 = quantile(crowd, .5), quantile(crowd, .95), quantile(rushed, .95)
	r.DelayP50, r.DelayP95, r.DelayMax = quantile(delay, .5), quantile(delay, .95), quantile(delay, 1)
	r.BeginP50, r.BeginP95, r.LagP50, r.LagP95 = quantile(begin, .5), quantile(begin, .95), quantile(lag, .5), quantile(lag, .95)
	r.Unheard = float64(unheard) / float64(max(1, segments))
	r.Missed = float64(r.MissedN) / float64(max(1, r.Heard+r.MissedN))
	r.Depth, r.MeanDepth = end.most, end.mean
	r.Parents /= float64(max(1, placed))
	if received > 0 {
		r.Twice = float64(twice) / float64(received)
	}
	if inside > 0 {
		r.FarShare = 1 - float64(near)/float64(inside)
	}
	if s.cfg.Lent > 0 {
		over := (s.cfg.Length - s.cfg.Lent) / 2
		r.Before = s.phase(all, s.before, s.cfg.Lent, over, nil)
		r.After = s.phase(all, end, s.cfg.Length, over, lent)
	}
}

// phase is how it was for a while until end, from when the set began.
func (s *stage) phase(all []heard, d depths, end, over time.Duration, lent []int64) *LivePhase {
	until := func(sent []int64, short int) []int64 { return sent[:max(0, len(sent)-short)] }
	after := len(s.source.sent) - 1 - int(end.Seconds()) // seconds that were counted since
	p := LivePhase{SourceMean: mean(until(s.source.sent, after), int(over.Seconds())), SeedboxMean: mean(until(lent, after), int(over.Seconds())), Depth: d.most, MeanDepth: d.mean}
	var lag []float64
	segments, unheard := 0, 0
	within := func(t time.Time) bool { return t.After(s.begin.Add(end-over)) && !t.After(s.begin.Add(end)) }
	for _, h := range all {
		if end := s.begin.Add(end); h.asked.Before(end) && (h.Join == 0 || h.asked.Add(h.Join).After(end)) {
			p.Deaf++
		}
		for i, d := range h.Lags {
			if within(h.At[i]) {
				lag = append(lag, d.Seconds())
				segments++
			}
		}
		for _, seq := range h.Missed {
			if within(s.cut[seq]) {
				segments++
				unheard++
			}
		}
	}
	p.LagP50, p.LagP95, p.Unheard = quantile(lag, .5), quantile(lag, .95), float64(unheard)/float64(max(1, segments))
	return &p
}

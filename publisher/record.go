package publisher

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/ipns"
	"playnode/manifests"
)

// ErrRival says that somebody else has published with the DJ's keys: another
// laptop of hers, or a thief. Nothing is signed beside him.
var ErrRival = errors.New("another laptop, or a thief, has published with these keys; a new root on the one that is to go on ends that (keys rotate)")

// ErrStuck says that neither of the DJ's names can be pointed at anything any
// more: whoever stole their keys has used up their sequences.
var ErrStuck = errors.New("neither of your names can be moved any more")

// looking bounds the wait for a version of another's making.
const looking = 5 * time.Second

// rowRecord is the last record that was signed of a name: a restored laptop
// signs above it, also where nobody tells it of any.
const rowRecord = "record/"

type recordRow struct {
	Seq   uint64
	Value cid.Cid
}

// announce puts the newest head out under both names, unless their records
// say so already and are good for long enough. One name that cannot be moved
// is no error, while the other can.
func (p *Publisher) announce(ctx context.Context, res *Result) error {
	res.Name = p.cfg.Keys.Name()
	var head headRow
	ok, err := load(p.cfg.Store, rowHead, &head)
	if err != nil || !ok {
		return err
	}
	res.Seq, res.Head = head.Seq, head.Env
	now := p.cfg.Now()
	// The record is not to end before what it points at.
	eol := time.Unix(head.Exp, 0)
	if least := now.Add(p.cfg.NameLife); eol.Before(least) {
		eol = least
	}
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, unhurried{}, ctx), announcing)
	defer cancel()
	stuck := 0
	for i, key := range p.cfg.Keys.signers() {
		name := ipns.Name(p.cfg.Keys.Names()[i])
		rec, row, err := p.record(name)
		if err != nil {
			return err
		}
		if rec.Value != head.Env || rec.EOL.Sub(now) <= p.cfg.NameLife/2 || rec.Seq < row.Seq {
			if rec.Seq == math.MaxInt64 {
				p.cfg.Log.Error("a name is stuck: another who has its key gave it the last sequence there is", "name", name)
				stuck++
				continue
			}
			var holders int
			rec, holders, err = p.cfg.Names.Publish(ctx, key.Private(), head.Env, max(rec.Seq, row.Seq)+1, eol)
			if err != nil {
				return err
			}
			res.Holders = max(res.Holders, holders)
		} else if rec.Seq == row.Seq {
			continue
		}
		if err := p.cfg.Store.Put(rowRecord+string(name), marshal(recordRow{rec.Seq, rec.Value})); err != nil {
			return err
		}
	}
	if stuck == len(p.cfg.Keys.signers()) {
		return ErrStuck
	}
	return nil
}

// unhurried is the key of the context that an announcement was asked for with.
type unhurried struct{}

// Unhurried is ctx, which Names.Publish was called with, without the few seconds
// that it has for the network: what is to be done before takes its time, and
// ends with who asked for it.
func Unhurried(ctx context.Context) context.Context {
	if longer, ok := ctx.Value(unhurried{}).(context.Context); ok {
		return longer
	}
	return ctx
}

// record is the newest record known of a name, and the last that was signed
// here; zero where there is none.
func (p *Publisher) record(name ipns.Name) (rec ipns.Record, row recordRow, err error) {
	rec, err = p.cfg.Names.Newest(name)
	if err != nil && !errors.Is(err, ipns.ErrNotFound) {
		return rec, row, err
	}
	_, err = load(p.cfg.Store, rowRecord+string(name), &row)
	return rec, row, err
}

// ready refuses to sign what may lie below, or beside, something signed with
// the same keys.
func (p *Publisher) ready(ctx context.Context) error {
	waiting, err := p.Restored()
	if err == nil && waiting {
		err = ErrRestored
	}
	if err != nil || p.cfg.Read == nil {
		return err
	}
	var head headRow
	if _, err := load(p.cfg.Store, rowHead, &head); err != nil {
		return err
	}
	for _, n := range p.cfg.Keys.Names() {
		name := ipns.Name(n)
		rec, row, err := p.record(name)
		if err != nil {
			return err
		}
		seen := []ipns.Record{rec}
		if lost, err := p.cfg.Names.Conflict(name); err == nil {
			seen = append(seen, lost)
		}
		for _, r := range seen {
			if !r.Value.Defined() || r.Seq < row.Seq || r.Value == row.Value || r.Value == head.Env {
				continue
			}
			if err := p.judge(ctx, head, r); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}

// judge looks at a version that a record of the DJ's points at and that is
// not the newest made here. An older one, or one that her keys do not vouch
// for, is a matter of the name alone, which moves on.
func (p *Publisher) judge(ctx context.Context, head headRow, rec ipns.Record) error {
	ctx, cancel := context.WithTimeout(ctx, looking)
	defer cancel()
	signed := func(env cid.Cid) (s manifests.Signed, err error) {
		s.Env.CID = env
		if s.Env.Data, err = p.cfg.Read(ctx, env); err != nil {
			return s, err
		}
		e, err := manifests.OpenEnvelope(s.Env.Data)
		if err != nil {
			return s, err
		}
		s.Payload.CID = e.Payload
		s.Payload.Data, err = p.cfg.Read(ctx, e.Payload)
		return s, err
	}
	s, err := signed(rec.Value)
	var h *manifests.Head
	if err == nil {
		h, err = manifests.DecodeHead(s.Payload.Data)
	}
	if err != nil {
		p.cfg.Log.Warn("a record of another's making points at what cannot be read", "name", rec.Name, "seq", rec.Seq, "err", err)
		return nil
	}
	own := p.cfg.Keys.chain()
	if h.RootN <= uint64(len(p.cfg.Keys.roots())) {
		if _, err := own.OpenHead(s); err != nil {
			p.cfg.Log.Warn("a record of another's making points at no version of ours", "name", rec.Name, "seq", rec.Seq, "err", err)
			return nil
		}
		if d := manifests.Digest(s.Payload.CID); h.Seq < head.Seq || h.Seq == head.Seq && string(d[:]) == string(head.Digest) {
			return nil
		}
		return fmt.Errorf("revision %d of root %d is not of this laptop's making: %w", h.Seq, h.RootN, ErrRival)
	}
	var roots []manifests.Signed
	for _, env := range h.Roots {
		r, err := signed(env)
		if err != nil {
			return nil
		}
		roots = append(roots, r)
	}
	c, err := manifests.VerifyChain(roots)
	if err != nil || c.DJ() != own.DJ() {
		return nil
	}
	if _, err := c.OpenHead(s); err != nil {
		return nil
	}
	return fmt.Errorf("root %d was signed elsewhere, root %d is the newest here: %w", h.RootN, own.Newest().N, ErrRival)
}

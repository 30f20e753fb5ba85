package publisher

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/ipfs/go-cid"

	"playnode/internal/audio/tags"
	"playnode/manifests"
)

// rowCard is the public card's row.
const rowCard = "card"

// pictureSide is the longer side of a card's picture at the most, in pixels.
const pictureSide = 512

// cardRow is what the DJ says in public.
type cardRow struct {
	Name, About string              `json:",omitempty"`
	Picture     []byte              `json:",omitempty"` // as it is published
	Lists       map[string]cardList `json:",omitempty"` // by label
	Open        map[string]cid.Cid  `json:",omitempty"` // excerpts' blocks, by their ids
}

// cardList is what she says of one playlist.
type cardList struct {
	Words  string     `json:",omitempty"`
	Titles bool       `json:",omitempty"` // its tracks' titles in clear
	Clips  *ClipTerms `json:",omitempty"` // nil: no previews
}

// CardEdit changes the card; what is nil stays as it is.
type CardEdit struct {
	Name, About *string
	// Picture is a file's bytes, JPEG, PNG, GIF or WebP; empty for none.
	Picture *[]byte
	// Playlist is what Words and Titles are of.
	Playlist string
	Words    *string
	// Titles puts the titles and artists of its tracks on the card, in clear.
	Titles *bool
}

// Card is the public card as the next version carries it.
type Card struct {
	manifests.Card
	// Labels are of the card's selections, in its order.
	Labels []string
	// Left counts the tracks that found no room on it.
	Left int
}

// SetCard changes the card and publishes it. It is durable when it returns;
// a card that is set before anything was published goes out with that.
func (p *Publisher) SetCard(ctx context.Context, e CardEdit) error {
	var picture []byte
	if e.Picture != nil && len(*e.Picture) > 0 {
		var err error
		if picture, err = tags.Picture(*e.Picture, pictureSide, manifests.MaxPicture); err != nil {
			return fmt.Errorf("set card: %w: %w", ErrTerms, err)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	row, err := p.cardRow()
	if err != nil {
		return fmt.Errorf("set card: %w", err)
	}
	if e.Name != nil {
		row.Name = manifests.Clean(*e.Name, manifests.MaxCardName)
	}
	if e.About != nil {
		row.About = manifests.Clean(*e.About, manifests.MaxCardAbout)
	}
	if e.Picture != nil {
		row.Picture = picture
	}
	if e.Words != nil || e.Titles != nil {
		err = p.editCardList(&row, e.Playlist, func(l *cardList) {
			if e.Words != nil {
				l.Words = manifests.Clean(*e.Words, manifests.MaxCardWords)
			}
			if e.Titles != nil {
				l.Titles = *e.Titles
			}
		})
	}
	if err == nil {
		err = p.commit(ctx, edit{card: &row})
	}
	if err != nil {
		return fmt.Errorf("set card: %w", err)
	}
	return nil
}

// editCardList changes what the card says of a playlist, which must be there.
func (p *Publisher) editCardList(row *cardRow, label string, change func(*cardList)) error {
	ok, err := load(p.cfg.Store, rowList+label, new(listRow))
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("playlist %q: %w", label, ErrNoPlaylist)
	}
	l := row.Lists[label]
	change(&l)
	if row.Lists == nil {
		row.Lists = map[string]cardList{}
	}
	row.Lists[label] = l
	return nil
}

func (p *Publisher) cardRow() (row cardRow, err error) {
	_, err = load(p.cfg.Store, rowCard, &row)
	return row, err
}

// Card is the card as it stands.
func (p *Publisher) Card() (Card, error) {
	row, err := p.cardRow()
	if err != nil {
		return Card{}, err
	}
	lists, err := p.lists()
	if err != nil {
		return Card{}, err
	}
	return p.card(row, lists)
}

// card puts the card together. What has no room on it is left out, from the
// end: a card is for choosing, and its readers hold all of it.
func (p *Publisher) card(row cardRow, lists []*listRow) (Card, error) {
	c := Card{Card: manifests.Card{Name: row.Name, About: row.About, Picture: row.Picture}}
	for id, block := range row.Open {
		o := manifests.CardOpen{Block: block}
		if _, err := hex.Decode(o.ID[:], []byte(id)); err != nil {
			return c, err
		}
		c.Open = append(c.Open, o)
	}
	slices.SortFunc(c.Open, func(a, b manifests.CardOpen) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	room := manifests.MaxBlock - len(c.Name) - len(c.About) - len(c.Picture) - 64*len(c.Open) - 1024
	tracks, sound := manifests.MaxCardTracks, uint64(manifests.MaxClips)
	for _, l := range lists {
		says := row.Lists[l.Label]
		if says.Words == "" && !says.Titles && says.Clips == nil {
			continue
		}
		sel, err := l.selection()
		if err != nil {
			return c, err
		}
		s := manifests.CardSel{Sel: sel.Sel, Words: says.Words}
		room -= len(s.Words) + 64
		var order []cid.Cid
		if says.Titles || says.Clips != nil {
			if order, err = p.order(l); err != nil {
				return c, err
			}
		}
		seen := map[cid.Cid]bool{}
		for _, t := range order {
			if seen[t] {
				continue
			}
			seen[t] = true
			if tracks == 0 {
				c.Left++
				continue
			}
			line := manifests.CardTrack{Track: manifests.Digest(t)}
			size := 64
			if says.Titles {
				r, err := p.trackRow(t)
				if err != nil {
					return c, err
				}
				line.Title = &manifests.CardTitle{
					Title:  manifests.Clean(r.Title, manifests.MaxCardTitle),
					Artist: manifests.Clean(r.Artist, manifests.MaxCardTitle),
				}
				size += len(line.Title.Title) + len(line.Title.Artist)
			}
			if says.Clips != nil {
				var k clipRow
				ok, err := load(p.cfg.Store, says.Clips.key(t), &k)
				if err != nil {
					return c, err
				}
				if ok && k.Size <= sound {
					line.Clip = &manifests.Clip{File: k.File, Size: k.Size, Codec: k.Codec}
					size += 64
				}
			}
			switch {
			case line.Title == nil && line.Clip == nil:
				c.Left++
				continue
			case room < size:
				c.Left++
				continue
			}
			tracks--
			room -= size
			if line.Clip != nil {
				sound -= line.Clip.Size
			}
			s.Tracks = append(s.Tracks, line)
		}
		slices.SortFunc(s.Tracks, func(a, b manifests.CardTrack) int { return bytes.Compare(a.Track[:], b.Track[:]) })
		c.Sels = append(c.Sels, s)
		c.Labels = append(c.Labels, l.Label)
	}
	order := make([]int, len(c.Sels))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return bytes.Compare(c.Sels[a].Sel[:], c.Sels[b].Sel[:]) })
	sels, labels := make([]manifests.CardSel, len(order)), make([]string, len(order))
	for to, from := range order {
		sels[to], labels[to] = c.Sels[from], c.Labels[from]
	}
	c.Sels, c.Labels = sels, labels
	return c, nil
}

// cardBlock is the card's block, nil where nothing is said.
func (p *Publisher) cardBlock(row cardRow, lists []*listRow) (*manifests.Block, error) {
	c, err := p.card(row, lists)
	if err != nil || c.Name == "" && c.About == "" && len(c.Picture) == 0 && len(c.Sels) == 0 && len(c.Open) == 0 {
		return nil, err
	}
	data, err := c.Encode()
	if err != nil {
		return nil, fmt.Errorf("card: %w", err)
	}
	b := manifests.NewBlock(data)
	return &b, nil
}

// cardIs tells whether the head links to this card.
func (h *headRow) cardIs(b *manifests.Block) bool {
	if h.Card == nil || b == nil {
		return h.Card == nil && b == nil
	}
	return *h.Card == b.CID
}

package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
)

// Do runs one operation here; see Client.
func (d *Daemon) Do(ctx context.Context, op string, req json.RawMessage, emit func(Event)) (json.RawMessage, error) {
	if emit == nil {
		emit = func(Event) {}
	}
	h, ok := d.handlers()[op]
	if !ok {
		return nil, &Error{Kind: Usage, Message: fmt.Sprintf("this playnode (%s) knows no request %q", d.opt.Version, op)}
	}
	var mu sync.Mutex // one event at a time, and none once it is over: what goes on behind it has nobody to tell
	over := false
	res, err := h(ctx, req, func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		if !over {
			emit(e)
		}
	})
	mu.Lock()
	over = true
	mu.Unlock()
	if err != nil {
		return res, crossing(err)
	}
	d.refreshAfter(ctx, op, emit)
	return res, nil
}

type handler func(ctx context.Context, req json.RawMessage, emit func(Event)) (json.RawMessage, error)

// handlers is every operation that crosses the socket.
func (d *Daemon) handlers() map[string]handler {
	hs := map[string]handler{}
	on(hs, OpID, d.id)
	on(hs, OpIDLink, d.idLink)
	on(hs, OpStatus, d.status)
	on(hs, opSettings, d.settings)
	on(hs, OpPublish, d.publish)
	on(hs, OpLive, d.live)
	on(hs, OpLiveEnd, d.liveEnd)
	on(hs, OpExcerptAdd, d.excerptAdd)
	on(hs, OpExcerpts, d.excerpts)
	on(hs, OpExcerptRemove, d.excerptRemove)
	on(hs, OpPlaylists, d.playlists)
	on(hs, OpPlaylist, d.playlist)
	on(hs, OpPlaylistSet, d.playlistSet)
	on(hs, OpPlaylistCue, d.playlistCue)
	on(hs, OpPlaylistCreate, d.playlistCreate)
	on(hs, OpPlaylistAdd, d.playlistAdd)
	on(hs, OpPlaylistRemove, d.playlistRemove)
	on(hs, OpPlaylistMove, d.playlistMove)
	on(hs, OpPlaylistImport, d.playlistImport)
	on(hs, OpPlaylistExport, d.playlistExport)
	on(hs, OpShare, d.share)
	on(hs, OpCardSet, d.cardSet)
	on(hs, OpCardShow, d.cardShow)
	on(hs, OpCardPreview, d.cardPreview)
	on(hs, OpLeaseGrant, d.leaseGrant)
	on(hs, OpLeaseRenew, d.leaseRenew)
	on(hs, OpLeaseRevoke, d.leaseRevoke)
	on(hs, OpLeaseImport, d.leaseImport)
	on(hs, OpOfferSet, d.offerSet)
	on(hs, OpOffers, d.offers)
	on(hs, OpRequests, d.requests)
	on(hs, OpLeaseApprove, d.leaseApprove)
	on(hs, OpLeaseRefuse, d.leaseRefuse)
	on(hs, OpLeaseRequest, d.leaseRequest)
	on(hs, OpLeaseShow, d.leaseShow)
	on(hs, OpLeases, d.leases)
	on(hs, OpKeysArchive, d.keysArchive)
	on(hs, OpKeysBackup, d.keysBackup)
	on(hs, OpKeysRotate, d.keysRotate)
	on(hs, OpKeysOffline, d.keysOffline)
	on(hs, OpFollow, d.followName)
	on(hs, OpUnfollow, d.unfollow)
	on(hs, OpFollows, d.follows)
	on(hs, OpArchive, d.archive)
	on(hs, OpArchives, d.archives)
	on(hs, OpVerify, d.verify)
	on(hs, OpExport, d.export)
	on(hs, OpImport, d.importCAR)
	on(hs, OpMirror, d.mirror)
	on(hs, OpSchedule, d.schedule)
	on(hs, OpScheduleSet, d.scheduleSet)
	on(hs, OpScheduleRemove, d.scheduleRemove)
	on(hs, OpScheduleOverride, d.scheduleOverride)
	on(hs, OpPlay, d.play)
	on(hs, OpListen, d.listen)
	on(hs, OpPreview, d.preview)
	on(hs, OpSearch, d.search)
	on(hs, OpCtl, d.ctl)
	on(hs, OpSinks, d.sinks)
	on(hs, OpRemote, d.remoteKey)
	return hs
}

// on gives an operation its handler, types and all.
func on[Req, Res any](hs map[string]handler, op Op[Req, Res], f func(context.Context, Req, func(Event)) (Res, error)) {
	hs[string(op)] = func(ctx context.Context, in json.RawMessage, emit func(Event)) (json.RawMessage, error) {
		var req Req
		if err := json.Unmarshal(in, &req); err != nil {
			return nil, &Error{Kind: Usage, Message: fmt.Sprintf("read %s request: %v", op, err)}
		}
		res, err := f(ctx, req, emit)
		if err != nil {
			return nil, err
		}
		out, err := json.Marshal(res)
		if err != nil {
			return nil, fmt.Errorf("encode %s result: %w", op, err)
		}
		return out, nil
	}
}

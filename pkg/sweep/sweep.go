package sweep

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/seed-ea9a9d67/directions/pkg/lab"
	"github.com/seed-ea9a9d67/directions/pkg/lease"
	"github.com/seed-ea9a9d67/directions/pkg/result"
)

// Sweep is a sweep in a store:
//
//	sweeps/<id>/sweep.json       its networks and analyses
//	sweeps/<id>/…                what schedulers want: scripts, logs
//	sweeps/claims/<row key>/     who works on a network (package lease)
//	results/<row key>.json       its rows
type Sweep struct {
	ID       string // name and the beginning of a hash of all rows' keys
	Name     string
	Networks []Network
	Analyses Analyses
	Repeated int // combinations that were left out, as the network was there already

	lab    *lab.Lab
	claims *lease.Folder
}

// record is a sweep as it is kept: expanded, so that it is the same when presets and files have changed.
type record struct {
	Name     string     `json:"name"`
	Analyses Analyses   `json:"analyses"`
	Labels   []string   `json:"labels"`
	Networks []lab.Spec `json:"networks"`
}

// Open expands a sweep, for work in the lab's store, under an ID of its name and content.
func Open(l *lab.Lab, spec Spec) (*Sweep, error) {
	networks, repeated, err := spec.Networks()
	if err != nil {
		return nil, err
	}
	s := &Sweep{Name: spec.Name, Networks: networks, Analyses: spec.Analyses.WithDefaults(), Repeated: repeated, lab: l}
	key, err := s.key()
	if err != nil {
		return nil, err
	}
	s.ID = fmt.Sprintf("%s-%s", s.Name, key[:8])
	return s, s.open()
}

// Keep writes the sweep into the store, where Find finds it. Work and Local do so by themselves.
func (s *Sweep) Keep() error {
	if _, err := os.Stat(s.file()); err == nil {
		return nil
	}
	if err := os.MkdirAll(s.Dir(), 0o755); err != nil {
		return fmt.Errorf("sweep %s: %w", s.Name, err)
	}
	r := record{Name: s.Name, Analyses: s.Analyses}
	for _, n := range s.Networks {
		r.Labels, r.Networks = append(r.Labels, n.Label), append(r.Networks, n.Spec)
	}
	key, err := s.key()
	if err != nil {
		return fmt.Errorf("sweep %s: %w", s.Name, err)
	}
	m := result.Manifest{Key: key, Config: "sweep " + s.Name, Versions: result.Versions()}
	if err := result.WriteResultFile(s.file(), m, r); err != nil {
		return fmt.Errorf("sweep %s: %w", s.Name, err)
	}
	return nil
}

// key hashes what determines the rows.
func (s *Sweep) key() (string, error) {
	parts := []any{"sweep", s.Name}
	for _, n := range s.Networks {
		parts = append(parts, n.Key)
	}
	return result.Key(parts...)
}

func (s *Sweep) open() (err error) {
	s.claims, err = lease.Open(filepath.Join(folder(s.lab), "claims"), 0)
	return err
}

func folder(l *lab.Lab) string { return filepath.Join(l.Store().Dir(), "sweeps") }

// Dir is the sweep's own folder in the store.
func (s *Sweep) Dir() string { return filepath.Join(folder(s.lab), s.ID) }

func (s *Sweep) file() string { return filepath.Join(s.Dir(), recordFile) }

const recordFile = "sweep.json"

// IDs lists the sweeps in a lab's store, the newest first.
func IDs(l *lab.Lab) ([]string, error) {
	entries, err := os.ReadDir(folder(l))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("sweeps: %w", err)
	}
	var ids []string
	when := map[string]time.Time{}
	for _, e := range entries {
		if info, err := os.Stat(filepath.Join(folder(l), e.Name(), recordFile)); err == nil {
			ids = append(ids, e.Name())
			when[e.Name()] = info.ModTime()
		}
	}
	slices.SortStableFunc(ids, func(a, b string) int { return when[b].Compare(when[a]) })
	return ids, nil
}

// Find opens a sweep of the store by its ID, the beginning of it, or its name if only one has it.
func Find(l *lab.Lab, id string) (*Sweep, error) {
	ids, err := IDs(l)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, known := range ids {
		if known == id {
			found = []string{id}
			break
		}
		if id != "" && strings.HasPrefix(known, id) {
			found = append(found, known)
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("no sweep %q in %s; `directions sweep list` shows those there are", id, l.Store().Dir())
	case 1:
	default:
		return nil, fmt.Errorf("%d sweeps begin with %q: %s; give more of it", len(found), id, strings.Join(found, ", "))
	}
	s := &Sweep{ID: found[0], lab: l}
	var r record
	if _, err := result.ReadFile(s.file(), &r); err != nil {
		return nil, fmt.Errorf("sweep %s: %w", id, err)
	}
	s.Name, s.Analyses = r.Name, r.Analyses.WithDefaults()
	for i, spec := range r.Networks {
		n, err := network(spec, s.Analyses)
		if err != nil || len(r.Labels) != len(r.Networks) {
			return nil, fmt.Errorf("sweep %s: network %d of %s cannot be read: %w", id, i, s.file(), err)
		}
		n.Index, n.Label = i, r.Labels[i]
		s.Networks = append(s.Networks, n)
	}
	return s, s.open()
}

// row reads the row of a network; nil: there is none.
func (s *Sweep) row(n Network) (*Row, error) {
	var r Row
	_, ok, err := s.lab.Store().Get(n.Key, &r)
	if err != nil || !ok {
		return nil, err
	}
	return &r, nil
}

// Rows reads what is known of all networks.
func (s *Sweep) Rows() (Rows, error) {
	r := Rows{Name: s.Name, Networks: s.Networks}
	for _, n := range s.Networks {
		row, err := s.row(n)
		if err != nil {
			return r, fmt.Errorf("sweep %s: %w", s.Name, err)
		}
		r.Rows = append(r.Rows, row)
	}
	return r, nil
}

// Retry forgets the rows of networks that failed, so that they are computed again, and tells how many there were. What was
// trained or analysed of them stays in the store.
func (s *Sweep) Retry() (int, error) {
	rows, err := s.Rows()
	if err != nil {
		return 0, err
	}
	count := 0
	for i, row := range rows.Rows {
		if row == nil || row.Status != Failed {
			continue
		}
		if err := s.lab.Store().Remove(s.Networks[i].Key); err != nil {
			return count, fmt.Errorf("sweep %s: %w", s.Name, err)
		}
		count++
	}
	return count, nil
}

// Workers lists who claims a network of this sweep, by the network's number. Those that are not Alive have died; their
// networks will be taken over.
func (s *Sweep) Workers() (map[int]lease.Holder, error) {
	all, err := s.claims.Holders()
	if err != nil {
		return nil, err
	}
	mine := map[int]lease.Holder{}
	for _, n := range s.Networks {
		if h, ok := all[n.Key]; ok {
			mine[n.Index] = h
		}
	}
	return mine, nil
}

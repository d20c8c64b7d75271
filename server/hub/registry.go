package hub

import (
	"hash/maphash"
	"slices"
	"sync"
)

// A registry finds things by name. It is split into shards, so that readers
// hardly meet the one writer; its hash is seeded, so that nobody can choose
// names that fall into one shard. The zero registry is not ready: use
// newRegistry.
type registry[T any] struct {
	seed   maphash.Seed
	shards [64]shard[T]
}

type shard[T any] struct {
	mu sync.RWMutex // guards m; no other lock is taken under it
	m  map[string]*T
}

func newRegistry[T any]() *registry[T] {
	r := &registry[T]{seed: maphash.MakeSeed()}
	for i := range r.shards {
		r.shards[i].m = make(map[string]*T)
	}
	return r
}

func (r *registry[T]) shard(name string) *shard[T] {
	return &r.shards[maphash.String(r.seed, name)%uint64(len(r.shards))]
}

// get returns what is called name, or nil.
func (r *registry[T]) get(name string) *T {
	s := r.shard(name)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.m[name]
}

func (r *registry[T]) put(name string, v *T) {
	s := r.shard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m[name] = v
}

func (r *registry[T]) delete(name string) {
	s := r.shard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.m, name)
}

// each calls f with everything there is, in no order and without a lock.
func (r *registry[T]) each(f func(name string, v *T)) {
	var part []named[*T]
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.RLock()
		part = slices.Grow(part[:0], len(s.m))
		for name, v := range s.m {
			part = append(part, named[*T]{name, v})
		}
		s.mu.RUnlock()
		for _, n := range part {
			f(n.name, n.value)
		}
	}
}

type named[T any] struct {
	name  string
	value T
}

package alarm

// A queue is a heap of sleepers, the one that is due first in front.
type queue[T Sleeper] []T

func (q queue[T]) Len() int           { return len(q) }
func (q queue[T]) Less(i, j int) bool { return q[i].Alarm().queue < q[j].Alarm().queue }

func (q queue[T]) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].Alarm().slot, q[j].Alarm().slot = int32(i+1), int32(j+1)
}

// Push is part of [heap.Interface].
func (q *queue[T]) Push(t any) {
	*q = append(*q, t.(T))
	t.(T).Alarm().slot = int32(len(*q))
}

// Pop is part of [heap.Interface].
func (q *queue[T]) Pop() any {
	last := len(*q) - 1
	t := (*q)[last]
	(*q)[last] = *new(T)
	*q = (*q)[:last]
	t.Alarm().slot = 0
	return t
}

package engine

// Sleepers returns how many sessions the clock is to ring for.
func (sv *Server) Sleepers() int { return sv.clock.Sleepers() }

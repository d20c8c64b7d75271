// Package transports tests and measures what is true of all transports
// together: that they show one log, in one order, and what each costs.
package transports

/* pod_mtu.h - the MTU of pods that are there already, when it changes.
 *
 * WHY    The agent never enters another namespace, and the pod's end of a veth can be changed only
 *        there: a child process does it. */
#pragma once

struct agent;

/* Bring the interfaces of this node's pods from one MTU to another, in the background. Those with a
 * third one were told theirs by the network's configuration and keep it. */
void pod_mtu_change(struct agent *a, unsigned from, unsigned to);

/* What pods were given last, also by an agent before this one; 0: not known. */
unsigned pod_mtu_last(const struct agent *a);
void pod_mtu_remember(const struct agent *a, unsigned mtu);

/* pod_mtu.h - the MTU of pods that are there already, when it changes.
 *
 * WHY    The agent never enters another namespace, and the pod's end of a veth can be changed only
 *        there: a child process does it. */
#pragma once

struct agent;
struct pod_mtu;

struct pod_mtu *pod_mtu_new(struct agent *a);
/* What is under way goes on. NULL is fine. */
void pod_mtu_free(struct pod_mtu *pm);

/* Bring the interfaces of this node's pods from one MTU to another, in the background, and then keep
 * it in mind. Those with a third one were told theirs by the network's configuration and keep it. A
 * change while another is under way comes after it, and finds the pods wherever that one left them. */
void pod_mtu_change(struct pod_mtu *pm, unsigned from, unsigned to);

/* What pods were given last, also by an agent before this one; 0: not known. */
unsigned pod_mtu_last(const struct agent *a);
void pod_mtu_remember(const struct agent *a, unsigned mtu);

/*
 * client.h - commands of pagervm that ask a running machine.
 */
#ifndef PAGER_CLIENT_H
#define PAGER_CLIENT_H

/* pagervm explain [-d DIR] [-n NAME] PID ADDRESS [load|store|fetch]: the walk
 * of one address in a running machine, told aloud. => exit status. */
int client_explain(int argc, char **argv);

#endif

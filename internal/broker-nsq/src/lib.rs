//! Topics and channels on nsqd.

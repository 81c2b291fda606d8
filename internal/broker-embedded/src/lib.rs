//! Topics and channels inside this process
